"""Files of rows, read whole for the report on them."""

from pathlib import Path

from state.rows.reading import Reading, Report


def report_on(path: Path, *, skip_invalid: bool = False) -> Report:
    """Raises ServiceError as `Reading.rows` does."""
    reading = Reading(path, skip_invalid=skip_invalid)
    for _row in reading.rows():
        pass
    return reading.report
