"""Time as Lathe writes it: UTC, ISO 8601 with `Z` (msgspec encodes an aware datetime just so)."""

from datetime import UTC, datetime


def now() -> datetime:
    return datetime.now(UTC)
