"""Records in JSON files. A reader sees the old bytes or the new, never a mixture, and takes no lock.

Writers take the file's lock, write a temporary file beside it, flush it to the disk, rename it over the old one and
flush the folder: when `write` returns, the record survives a power cut.
"""

import os
from collections.abc import Callable, Iterable, Iterator
from contextlib import suppress
from pathlib import Path
from stat import S_ISFIFO
from typing import TypeVar

import msgspec

from state import locks
from state.errors import BrokenFile

Record = TypeVar("Record")

MAX_BYTES = 512 * 2**20  # twice what a request may bring
LOCK_TIMEOUT_S = 10.0  # a write takes milliseconds: who waits longer has met a hung file system


def read(path: Path, kind: type[Record]) -> Record:
    """Read one record. Raises FileNotFoundError, or BrokenFile with the field that is wrong."""
    raw = read_bytes(path)
    try:
        return msgspec.json.decode(raw, type=kind)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise BrokenFile(path, str(error)) from error


def read_as_written(path: Path) -> dict[str, object]:
    """The file's own keys and values, with no defaults filled in. Raises as `read` does."""
    return read(path, dict[str, object])


def write(path: Path, record: object) -> None:
    """Replace the file by this record, whole and durable. The folder must exist."""
    with locks.hold(_lock_of(path), LOCK_TIMEOUT_S):
        _replace(path, pretty(record))


def update(path: Path, kind: type[Record], change: Callable[[Record | None], Record]) -> Record:
    """Replace the record by `change` of the newest one (None when there is no file yet) and return it."""
    with locks.hold(_lock_of(path), LOCK_TIMEOUT_S):
        try:
            newest: Record | None = read(path, kind)
        except FileNotFoundError:
            newest = None
        record = change(newest)
        _replace(path, pretty(record))
    return record


def append_line(path: Path, record: object) -> None:
    """Add one line to a .jsonl file: a crash can tear the last line only, and readers skip that.

    A full disk leaves the file as it was: the beginning of a line would spoil the next one. Raises OSError.
    """
    line = msgspec.json.encode(record) + b"\n"
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o644)
    try:
        size = os.fstat(descriptor).st_size
        try:
            while line:
                line = line[os.write(descriptor, line) :]  # one write, unless the disk is nearly full
        except OSError:
            os.ftruncate(descriptor, size)
            raise
    finally:
        os.close(descriptor)


def read_lines(path: Path, kind: type[Record]) -> Iterator[Record]:
    """The lines of a .jsonl file that people write. Raises BrokenFile with the line's number."""
    for number, line in enumerate(read_bytes(path).splitlines(), start=1):
        if not line.strip():
            continue
        try:
            yield msgspec.json.decode(line, type=kind)
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
            raise BrokenFile(path, f"line {number}: {error}") from error


def read_intact_lines(path: Path, kind: type[Record]) -> Iterator[Record]:
    """The lines of a .jsonl file that a machine appends to; a line torn by a crash is passed over."""
    return intact_lines(read_bytes(path), kind)


def intact_lines(content: bytes, kind: type[Record]) -> Iterator[Record]:
    """The same of what was read of one."""
    for line in content.splitlines():
        with suppress(msgspec.DecodeError, UnicodeDecodeError):
            yield msgspec.json.decode(line, type=kind)


def write_lines(path: Path, records: Iterable[object]) -> None:
    """Replace a .jsonl file, whole and durable."""
    with locks.hold(_lock_of(path), LOCK_TIMEOUT_S):
        _replace(path, lines(records))


def lines(records: Iterable[object]) -> bytes:
    """Records as they lie in a .jsonl file."""
    return b"".join(msgspec.json.encode(record) + b"\n" for record in records)


def flush(path: Path) -> None:
    """Have a file's content, or the names in a folder, on the disk itself."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _replace(path: Path, content: bytes) -> None:
    """Write beside, flush, rename over, flush the folder. The lock's holder is the only one who writes beside."""
    temporary = path.with_name(f".{path.name}.tmp")
    try:
        with temporary.open("wb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        temporary.replace(path)
    except BaseException:
        temporary.unlink(missing_ok=True)
        raise
    flush(path.parent)


def _lock_of(path: Path) -> Path:
    return path.with_name(path.name + ".lock")


def pretty(record: object) -> bytes:
    """A record as it lies on disk: indented, for eyes."""
    return msgspec.json.format(msgspec.json.encode(record), indent=2) + b"\n"


def read_bytes(path: Path, most: int = MAX_BYTES) -> bytes:
    """The file's bytes without a byte-order mark, which editors on Windows leave behind.

    Raises FileNotFoundError, BrokenFile.
    """
    try:
        stat = path.stat()
        if stat.st_size > most:
            raise BrokenFile(path, f"is larger than {_shown(most)}")
        if S_ISFIFO(stat.st_mode):
            raise BrokenFile(path, "is a pipe, whose end may never come")
        return path.read_bytes().removeprefix(b"\xef\xbb\xbf")
    except FileNotFoundError:
        raise
    except OSError as error:
        raise BrokenFile(path, error.strerror or str(error)) from error


def _shown(size: int) -> str:
    return f"{size // 2**20} MiB" if size >= 2**20 else f"{size // 2**10} KiB"
