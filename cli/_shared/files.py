"""Files of rows that become data sets of the server, which is where jobs find them."""

import hashlib
import re
import shutil
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import BinaryIO, NamedTuple

import click

from cli._shared import api, named
from cli._shared.exits import Exit, Failure

SHOWN_FROM = 50_000_000
"""Bytes of a file whose sending is shown."""


class Rows(NamedTuple):
    """A file of rows. `name` is that of the data set: it ends with a checksum of the content."""

    file: BinaryIO
    size: int
    file_name: str
    name: str


def dataset(source: str, *, skip_invalid: bool) -> str:
    """The data set that is meant: one of the server's, or what a file holds, sent if the server does not have it yet.

    The same file is sent once; one that was changed replaces no other's rows. Raises Failure where there is neither.
    """
    known = {each["dataset_name"] for each in api.get(named.DATA).data["datasets"]}
    if source != "-" and not Path(source).is_file():
        if source not in known:
            raise Failure(f"{source} is neither a file here nor a data set of the server", Exit.NOT_FOUND)
        return source
    with _opened(source) as rows:
        if rows.name in known and not skip_invalid:
            return rows.name
        sent = _send(rows, rows.name, {"skip_invalid": "true"} if skip_invalid else {}).data
    left_out = f", {sent['num_skipped']:,} left out" if sent["num_skipped"] else ""
    click.echo(f"{source}: {sent['num_texts']:,} rows{left_out}, data set {rows.name}", err=True)
    return rows.name


def upload(source: str, name: str | None, query: dict[str, object]) -> api.Reply:
    """Send a file, or with `-` the standard input."""
    with _opened(source) as rows:
        return _send(rows, name or rows.name, query)


@contextmanager
def shown(file: BinaryIO, size: int, name: str) -> Iterator[BinaryIO]:
    """A file to send; of a large one a terminal shows how much is sent."""
    if not sys.stderr.isatty() or size < SHOWN_FROM:
        yield file
        return
    from rich.console import Console  # noqa: PLC0415  where something is drawn
    from rich.progress import wrap_file  # noqa: PLC0415

    with wrap_file(file, size, description=name, console=Console(stderr=True)) as drawn:
        yield drawn


@contextmanager
def on_disk(source: str) -> Iterator[Path]:
    """The file that is meant; of the standard input, which is JSON Lines, a copy."""
    if source != "-":
        yield Path(source)
        return
    with TemporaryDirectory(prefix="lathe-") as folder:
        kept = Path(folder) / "stdin.jsonl"
        with kept.open("wb") as file:
            shutil.copyfileobj(sys.stdin.buffer, file)
        yield kept


@contextmanager
def _opened(source: str) -> Iterator[Rows]:
    with on_disk(source) as path, path.open("rb") as file:
        yield Rows(file, path.stat().st_size, path.name, _name(path.name.partition(".")[0], file))


def _send(rows: Rows, name: str, query: dict[str, object]) -> api.Reply:
    said = {"dataset_name": name, "file_name": rows.file_name} | query
    with shown(rows.file, rows.size, rows.file_name) as file:
        return api.send_file("/api/training/data/upload", file, rows.size, "application/octet-stream", said)


def _name(stem: str, file: BinaryIO) -> str:
    """The file is read, and stands at its beginning again."""
    checksum = hashlib.sha256()
    while block := file.read(api.BLOCK):
        checksum.update(block)
    file.seek(0)
    allowed = re.sub(r"[^A-Za-z0-9._-]+", "-", stem).lstrip("._-")[:80]
    return f"{allowed or 'data'}-{checksum.hexdigest()[:8]}"
