"""An adapter that comes from elsewhere: a PEFT adapter's files, in a folder or an archive (.zip, .tar, .tar.gz).

Only files that Lathe knows are taken, each to its own name: nothing in an archive decides where is written. They lie at
the archive's root or in its one folder.
"""

import gzip
import lzma
import os
import sys
import tarfile
import zipfile
import zlib
from collections.abc import Callable, Iterator
from functools import partial
from io import FileIO
from pathlib import Path, PurePosixPath
from stat import S_ISLNK
from typing import IO, BinaryIO

from msgspec import Struct

from state import chat_templates
from state.adapters import CONFIG, RECORD, WEIGHTS
from state.errors import ServiceError
from state.root import DataRoot

TAKEN = frozenset({CONFIG, WEIGHTS, RECORD, chat_templates.FILE, "README.md"})
PICKLED = ("adapter_model.bin", "adapter_model.pt")
SUFFIXES = (".zip", ".tar", ".tar.gz", ".tgz")

MOST_TIMES = 32  # weights hardly shrink in an archive, untrained ones by half; a bomb by a thousand
ALWAYS_ALLOWED = 16 * 2**20  # bytes
_CHUNK = 2**20
_BROKEN = (
    *(zipfile.BadZipFile, tarfile.TarError, gzip.BadGzipFile, zlib.error, lzma.LZMAError, EOFError),
    NotImplementedError,  # zipfile's, for a compression that it does not know
)


class Entry(Struct, frozen=True):
    """One file of a package, to be opened before the next one is asked for, if at all."""

    path: PurePosixPath
    is_plain: bool
    open: Callable[[], IO[bytes] | None]


class Package(Struct, frozen=True):
    """A folder's or an archive's files, from the first one at each call, and the bytes that they may unpack to."""

    entries: Callable[[], Iterator[Entry]]
    limit: int


def default_name(path: Path) -> str:
    """The name of a folder, or of an archive without the part that says that it is one."""
    suffix = next((suffix for suffix in SUFFIXES if path.name.endswith(suffix) and path.is_file()), "")
    return path.name.removesuffix(suffix)


def folder(root: DataRoot, path: Path) -> Package:
    """What lies in a folder itself. A file that a link leads to out of the root is not plain."""

    def entries() -> Iterator[Entry]:
        for file in path.iterdir():
            yield Entry(PurePosixPath(file.name), file.is_file() and root.holds(file), partial(FileIO, file))

    return Package(entries, sys.maxsize)


def archive(file: BinaryIO) -> Package:
    """What an archive holds, whose kind is seen from its first bytes."""
    limit = max(ALWAYS_ALLOWED, MOST_TIMES * file.seek(0, os.SEEK_END))
    file.seek(0)
    start = file.read(2)
    if start == b"PK":
        return Package(partial(_zipped, file), limit)
    return Package(partial(_tarred, file, limit if start == b"\x1f\x8b" else None), limit)


def unpack(package: Package, into: Path) -> None:
    """Write an adapter's files to a folder. Raises ServiceError for what is none, and then leaves a part."""
    try:
        folder = _adapter_root([entry.path for entry in package.entries()])
        for entry in package.entries():
            if entry.path.parent == folder and entry.path.name in TAKEN:
                _copy(entry, into / entry.path.name, package.limit)
    except _BROKEN as error:
        reason = str(error) or type(error).__name__
        raise ServiceError(f"The archive cannot be read ({reason}): send a .zip, .tar or .tar.gz") from error


def _copy(entry: Entry, target: Path, limit: int) -> None:
    source = entry.open() if entry.is_plain else None
    if source is None:
        raise ServiceError(f"{entry.path} is not a plain file")
    with source, target.open("wb") as file:
        while chunk := source.read(_CHUNK):
            if file.tell() + len(chunk) > limit:
                raise _too_large()
            file.write(chunk)


def _too_large() -> ServiceError:
    return ServiceError(f"The archive unpacks to more than {MOST_TIMES} times its size, which no adapter does")


def _adapter_root(paths: list[PurePosixPath]) -> PurePosixPath:
    """The folder that holds the adapter."""
    outside = next((path for path in paths if path.is_absolute() or ".." in path.parts), None)
    if outside is not None:
        raise ServiceError(f"The archive holds {outside}, which leads out of it")
    folders = sorted(
        {path.parent for path in paths if path.name == CONFIG and len(path.parts) <= 2},
        key=lambda path: (len(path.parts), path),
    )
    if not folders:
        raise ServiceError(f"No PEFT adapter: there is no {CONFIG}, neither at the top nor in a folder there")
    found = folders[0]
    if len(folders) > 1 and found.parts:
        raise ServiceError(f"Several adapters, {', '.join(map(str, folders))}: import one at a time")
    names = {path.name for path in paths if path.parent == found}
    if WEIGHTS not in names:
        pickled = next((name for name in PICKLED if name in names), None)
        also = f"; {pickled} holds pickled weights, which are not loaded: save it again with PEFT" if pickled else ""
        raise ServiceError(f"{WEIGHTS} is missing{also}")
    return found


def _zipped(file: BinaryIO) -> Iterator[Entry]:
    with zipfile.ZipFile(file) as opened:
        for info in opened.infolist():
            if info.flag_bits & 1:
                raise ServiceError("The archive is encrypted: send one without a password")
            if not info.is_dir():
                is_plain = not S_ISLNK(info.external_attr >> 16)
                yield Entry(PurePosixPath(info.filename), is_plain, partial(opened.open, info))


def _tarred(file: BinaryIO, gunzip_limit: int | None) -> Iterator[Entry]:
    file.seek(0)
    stream = file if gunzip_limit is None else _Gunzipped(file, gunzip_limit)
    with tarfile.open(fileobj=stream, mode="r|") as opened:
        for member in opened:
            if not member.isdir():
                yield Entry(PurePosixPath(member.name), member.isreg(), partial(opened.extractfile, member))


class _Gunzipped(gzip.GzipFile):
    """Counts what it unpacks to, whether that is kept or passed over."""

    def __init__(self, file: BinaryIO, limit: int) -> None:
        super().__init__(fileobj=file, mode="rb")
        self._limit = limit

    def read(self, size: int | None = -1) -> bytes:
        data = super().read(size)
        if self.tell() > self._limit:
            raise _too_large()
        return data
