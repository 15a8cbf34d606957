"""The end of a log file, without reading the rest."""

from pathlib import Path

ENOUGH_TO_EXPLAIN = 20
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


def explained(sentence: str, file: Path) -> str:
    """A job's error message: the sentence, and the end of its trainer's log."""
    end = "\n".join(tail(file, ENOUGH_TO_EXPLAIN))
    return f"{sentence}\n\nLast lines of train.log:\n{end}"
