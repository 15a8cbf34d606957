"""Where rows come from: a file, the folder of a data set, or texts that came with a request or in job.json."""

import hashlib
from collections.abc import Iterator
from functools import partial
from pathlib import Path

import msgspec
from msgspec import Struct, structs

from state.errors import ServiceError
from state.rows import reading
from state.rows import row as rows
from state.rows.reading import Reading
from state.rows.row import Row, Text
from state.rows.split import Split

RECORD = "dataset.json"


class RowSource(Struct, frozen=True):
    """Read anew each time, a row at a time, so that its size does not matter."""

    name: str
    """What it is called in sentences."""
    path: str | None = None
    texts: list[str] = []
    """Used where there is no path."""
    columns: dict[str, str] | None = None
    """Which columns of a file are which of a format's."""
    skip_invalid: bool = False
    """Rows that cannot be used are left out whoever asks: that was accepted when the data came."""
    held_out: bool = False
    """Of a data set's files, those are read that are kept from training."""
    or_else: str | None = None
    """What to do instead where they cannot be used, in a sentence."""
    split: Split | None = None
    """Only the rows on this side of it are taken."""
    identity: list[int] | None = None
    """Of the data set whose record said how its files are read: `identity_of` its folder at that time."""

    @property
    def whole(self) -> "RowSource":
        """The rows of both sides."""
        return structs.replace(self, split=None)

    def rows(self, *, skip_invalid: bool = False) -> Iterator[tuple[int, Row]]:
        """Each row and where it stands: its line in a file, or its place among the texts, from 1.

        Raises ServiceError for a file that cannot be read; and at the end for rows that cannot be used, unless they are
        to be skipped, where there is none that can, and where a side of the split is empty.
        """
        return ((line, row) for line, row, _ in self.rows_and_others(skip_invalid=skip_invalid))

    def rows_and_others(self, *, skip_invalid: bool = False) -> Iterator[tuple[int, Row, dict[str, object]]]:
        """`rows`, each with the columns of the file that its format has no use for."""
        every = self._every_row(skip_invalid=skip_invalid or self.skip_invalid)
        if self.split is None:
            yield from every
            return
        total = taken = 0
        for found in every:
            total += 1
            if self.split.takes(found[1]):
                taken += 1
                yield found
        self.split.check(self.name, taken if self.split.is_held_out else total - taken, total)

    def num_lines(self) -> int | None:
        """About how many rows there are: one a line. None where only reading them would tell. Reads it all."""
        if self.path is None:
            return len(self.texts)
        if Path(self.path).suffix not in (".jsonl", ".ndjson"):
            return None
        with Path(self.path).open("rb") as file:
            return sum(chunk.count(b"\n") for chunk in iter(partial(file.read, 2**20), b""))

    def sha256(self) -> str:
        """Of all that decides what `rows` are, whatever the files are called. Reads them all. Raises ServiceError."""
        digest = hashlib.sha256()
        for text in self.texts:
            digest.update(rows.encode(Text(text)) + b"\n")
        try:
            for file in self._files():
                with file.open("rb") as opened:
                    digest.update(hashlib.file_digest(opened, "sha256").digest())
        except FileNotFoundError as error:
            raise ServiceError(f"{self.name} was removed while it was read: try again") from error
        digest.update(msgspec.json.encode([self.columns, self.skip_invalid, self.split], order="deterministic"))
        return digest.hexdigest()

    def _every_row(self, *, skip_invalid: bool) -> Iterator[tuple[int, Row, dict[str, object]]]:
        if self.path is None:
            yield from ((number, Text(text), {}) for number, text in enumerate(self.texts, start=1))
            return
        try:
            self.check_identity()
            read = Reading(Path(self.path), columns=self.columns, skip_invalid=skip_invalid, held_out=self.held_out)
            yield from ((found.line, found.row, found.others) for found in read.rows())
        except ServiceError as error:
            self.check_identity()
            if self.or_else is not None:
                raise ServiceError(f"{error}. {self.or_else}") from error
            raise
        self.check_identity()

    def check_identity(self) -> None:
        """Raise ServiceError for a data set that is another one by now: its record and its files belong together."""
        if self.identity is not None and identity_of(Path(self.path or "")) != self.identity:
            raise ServiceError(f"{self.name} was replaced or deleted while it was read: try again")

    def _files(self) -> list[Path]:
        if self.path is None:
            return []
        path = Path(self.path)
        if not path.is_dir():
            return [path]
        names = sorted(file.name for file in path.iterdir() if file.is_file())
        return [path / name for name in reading.chosen(names, held_out=self.held_out)]


def identity_of(dataset: Path) -> list[int]:
    """Other numbers once the data set in this folder was replaced, deleted, or given another record."""
    found = []
    for path in (dataset, dataset / RECORD):
        try:
            stat = path.stat()
        except OSError as error:
            found.append(-(error.errno or 1))
        else:
            found += [stat.st_ino, *([stat.st_mtime_ns] if path.name == RECORD else [])]
    return found
