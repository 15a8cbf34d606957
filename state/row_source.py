"""Where rows come from: a file, the folder of a data set, or texts that came with a request or in job.json."""

import hashlib
from collections.abc import Iterator
from functools import partial
from pathlib import Path

from msgspec import Struct

from state.rows import row as rows
from state.rows.reading import Reading
from state.rows.row import Row, Text


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

    def rows(self, *, skip_invalid: bool = False) -> Iterator[tuple[int, Row]]:
        """Each row and where it stands: its line in a file, or its place among the texts, from 1.

        Raises ServiceError for a file that cannot be read; and at the end for rows that cannot be used, unless they are
        to be skipped, and where there is none that can.
        """
        if self.path is None:
            yield from enumerate(map(Text, self.texts), start=1)
        else:
            skips = skip_invalid or self.skip_invalid
            reading = Reading(Path(self.path), columns=self.columns, skip_invalid=skips)
            yield from ((numbered.line, numbered.row) for numbered in reading.rows())

    def num_lines(self) -> int | None:
        """About how many rows there are: one a line. None where only reading them would tell. Reads it all."""
        if self.path is None:
            return len(self.texts)
        if Path(self.path).suffix not in (".jsonl", ".ndjson"):
            return None
        with Path(self.path).open("rb") as file:
            return sum(chunk.count(b"\n") for chunk in iter(partial(file.read, 2**20), b""))

    def sha256(self) -> str:
        """Of the content, whatever the file is called. Reads it all."""
        digest = hashlib.sha256()
        for text in self.texts:
            digest.update(rows.encode(Text(text)) + b"\n")
        for file in self._files():
            with file.open("rb") as opened:
                digest.update(hashlib.file_digest(opened, "sha256").digest())
        return digest.hexdigest()

    def _files(self) -> list[Path]:
        if self.path is None:
            return []
        path = Path(self.path)
        return sorted(file for file in path.iterdir() if file.is_file()) if path.is_dir() else [path]
