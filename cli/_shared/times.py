"""Times in words."""

from datetime import UTC, datetime

_UNITS = ((86_400, "day"), (3600, "h"), (60, "min"), (1, "s"))


def span(seconds: float) -> str:
    """The largest unit alone: `22 min`, `3 days`."""
    whole = max(0, round(seconds))
    size, unit = next((size, unit) for size, unit in _UNITS if whole >= size or size == 1)
    count = whole // size
    return f"{count} {unit}{'s' if unit == 'day' and count > 1 else ''}"


def ago(moment: str | None) -> str:
    """How long ago a time of the API is."""
    if moment is None:
        return "-"
    return f"{span((datetime.now(UTC) - datetime.fromisoformat(moment)).total_seconds())} ago"
