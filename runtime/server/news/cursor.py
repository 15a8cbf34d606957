"""How far a reader of the news has got: the id of an event, which the reader brings when it comes again.

`<boot>.<revision>`, then `;c.<job>=<offset>.<checksum>` of each curve and `;l.<job>=…` of each log. The offsets are of
the files themselves, so nothing has to be kept for a reader who is away, and a server that is started again goes on.
"""

from typing import Literal

from msgspec import Struct

from state.growing import Position

FileKind = Literal["c", "l"]
"""A curve, metrics.jsonl, or a log, train.log."""


class Cursor(Struct, frozen=True):
    boot: str
    revision: int
    files: dict[tuple[FileKind, str], Position]
    """By kind and job id."""

    def __str__(self) -> str:
        files = (f";{kind}.{job_id}={shown(position)}" for (kind, job_id), position in self.files.items())
        return f"{self.boot}.{self.revision}{''.join(files)}"


def shown(position: Position) -> str:
    return f"{position.offset}.{position.checksum:x}"


def parse(text: str) -> Cursor:
    """As much of it as can be read; the rest counts as news that were never heard."""
    head, *parts = text.split(";")
    boot, _, number = head.rpartition(".")
    files: dict[tuple[FileKind, str], Position] = {}
    for part in parts:
        name, _, place = part.rpartition("=")
        kind, _, job_id = name.partition(".")
        position = parse_position(place)
        if kind in _KINDS and position is not None:
            files[_KINDS[kind], job_id] = position
    return Cursor(boot, _number(number, 10) or 0, files)


def parse_position(text: str) -> Position | None:
    offset, _, checksum = text.partition(".")
    numbers = _number(offset, 10), _number(checksum, 16)
    return None if numbers[0] is None or numbers[1] is None else Position(numbers[0], numbers[1])


def _number(text: str, base: int) -> int | None:
    try:
        number = int(text, base)
    except ValueError:
        return None
    return number if 0 <= number < 2**63 else None


_KINDS: dict[str, FileKind] = {"c": "c", "l": "l"}
