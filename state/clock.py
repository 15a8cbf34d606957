"""Time as Lathe writes it: UTC, ISO 8601 with `Z` (msgspec encodes an aware datetime just so)."""

import os
from datetime import UTC, datetime


def now() -> datetime:
    return datetime.now(UTC)


def aware(time: datetime) -> datetime:
    """The same time with its zone; UTC where a hand-made file names none."""
    return time if time.tzinfo else time.replace(tzinfo=UTC)


def changed(stat: os.stat_result) -> datetime:
    """When a file was changed last, by its own account; 1970 where that is outside of the calendar."""
    try:
        return datetime.fromtimestamp(stat.st_mtime, UTC)
    except (OverflowError, ValueError):
        return datetime.fromtimestamp(0, UTC)
