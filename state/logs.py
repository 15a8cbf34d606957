"""The end of a log file, without reading the rest, and what comes to it."""

import codecs
from pathlib import Path

from msgspec import Struct

from state import growing
from state.errors import BrokenFile
from state.growing import Part, Position

ENOUGH_TO_EXPLAIN = 20
MAX_BYTES = 1_000_000  # of the file's end: a bar that redraws itself can fill one line with megabytes
MOST_READ = 65_536  # bytes read on at once, and of the end where a reader begins


class Stretch(Struct, frozen=True):
    """Text of a log. `is_anew`: it does not go on where the reader was, but is the file's last part."""

    text: str
    end: Position
    is_anew: bool


def read_on(file: Path, position: Position | None) -> Stretch:
    """What was logged behind a position, some at a time.

    The last part alone for a reader who comes new, whose file was written anew, or who is a megabyte behind. Raises
    BrokenFile.
    """
    part = growing.read_on(file, position, MAX_BYTES) if position is not None else None
    is_anew = part is None or len(part.content) == MAX_BYTES
    if part is None or is_anew:
        part = _last_part(file)
    content = part.content[:MOST_READ]
    decoder = codecs.getincrementaldecoder("utf-8")("replace")
    text = decoder.decode(content)
    half_a_character = len(decoder.getstate()[0])
    return Stretch(text, part.position(len(content) - half_a_character), is_anew)


def _last_part(file: Path) -> Part:
    """The last bytes from a line's beginning on, where one begins in them."""
    part = growing.read_at(file, -MOST_READ, MOST_READ)
    begin = part.content.find(b"\n") + 1 if part.offset else 0
    return Part(part.offset + begin, part.content[:begin], part.content[begin:])


def tail(file: Path, lines: int) -> list[str]:
    """The last lines, without their line ends; an absent log is empty. Raises BrokenFile."""
    return growing.read_at(file, -MAX_BYTES, MAX_BYTES).content.decode(errors="replace").splitlines()[-lines:]


def explained(sentence: str, file: Path) -> str:
    """A job's error message: the sentence, and the end of its trainer's log, where that can be read."""
    try:
        end = "\n".join(tail(file, ENOUGH_TO_EXPLAIN))
    except BrokenFile:
        return sentence
    return f"{sentence}\n\nLast lines of train.log:\n{end}"
