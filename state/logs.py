"""The end of a log file, without reading the rest."""

from pathlib import Path

MAX_BYTES = 1_000_000  # of the file's end: a bar that redraws itself can fill one line with megabytes


def tail(file: Path, lines: int) -> list[str]:
    """The last lines, without their line ends; an absent log is empty."""
    try:
        with file.open("rb") as stream:
            size = stream.seek(0, 2)
            stream.seek(max(0, size - MAX_BYTES))
            text = stream.read().decode(errors="replace")
    except FileNotFoundError:
        return []
    return text.splitlines()[-lines:]
