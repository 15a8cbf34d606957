"""Files as OpenAI's API has them: each is a data set, `training_data/file-<id>/`, with file.json beside its rows.

The bytes stay as they came. A file whose rows cannot be used is kept all the same, with what is wrong in file.json:
whoever has sent it asks there. Jobs have copies of its rows, so it may go at any time.
"""

import secrets
from collections.abc import Iterator
from datetime import datetime, timedelta
from pathlib import Path
from typing import Literal

from msgspec import Struct

from state import clock, folders, names, store, uploads
from state.errors import BrokenFile, NotFound, ServiceError
from state.root import DataRoot
from state.rows import files

PREFIX = "file-"
RECORD = "file.json"

FileStatus = Literal["processed", "error"]


class FileRecord(Struct, frozen=True, kw_only=True):
    """file.json."""

    version: int = 1
    filename: str
    """As its sender calls it."""
    purpose: Literal["fine-tune"] = "fine-tune"
    bytes: int
    created_at: datetime
    expires_at: datetime | None = None
    status: FileStatus
    status_details: str | None = None
    """Why its rows cannot be used, with the first wrong ones by their lines."""


class UploadedFile(Struct, frozen=True):
    """A file that has not expired."""

    id: str
    folder: Path
    record: FileRecord

    @property
    def content(self) -> Path:
        """The bytes as they came."""
        return self.folder / f"train{files.ending_of(self.record.filename)}"


def take_in(root: DataRoot, received: Path, filename: str, expires_after: timedelta | None) -> UploadedFile:
    """Keep a received file, which is moved. Raises ServiceError for a name that is of no kind that is read."""
    file_id = f"{PREFIX}{secrets.token_hex(12)}"
    target = root.training_data / file_id
    filename = filename if Path(filename).suffix else f"{filename}.jsonl"  # as OpenAI's client calls bytes: "upload"
    size, now = received.stat().st_size, clock.now()
    status: FileStatus = "processed"
    details = None
    root.create()
    with folders.appearing(target) as hidden:
        kept = hidden / f"train{files.ending_of(filename)}"
        try:
            uploads.moved_in(received, kept)
        except ServiceError as error:
            status, details = "error", str(error)
        record = FileRecord(
            filename=filename,
            bytes=size,
            created_at=now,
            expires_at=now + expires_after if expires_after else None,
            status=status,
            status_details=details,
        )
        (hidden / RECORD).write_bytes(store.pretty(record))
    return UploadedFile(file_id, target, record)


def find(root: DataRoot, file_id: str) -> UploadedFile:
    """Raises NotFound, also for a file that has expired; BrokenFile."""
    missing = NotFound(f"No such File object: {file_id}")
    folder = root.training_data / file_id
    if not (file_id.startswith(PREFIX) and names.is_valid(file_id) and root.holds_entry(folder)):
        raise missing
    try:
        record = store.read(folder / RECORD, FileRecord)
    except FileNotFoundError:
        raise missing from None
    if record.expires_at is not None and record.expires_at <= clock.now():
        raise missing
    return UploadedFile(file_id, folder, record)


def everyone(root: DataRoot) -> Iterator[UploadedFile]:
    """All files, in no particular order. One whose record cannot be read is left out."""
    for path in root.training_data.glob(f"{PREFIX}*"):
        try:
            yield find(root, path.name)
        except (NotFound, BrokenFile):
            continue


def remove_expired(root: DataRoot) -> None:
    """Clear away the files whose time is over."""
    now = clock.now()
    for path in root.training_data.glob(f"{PREFIX}*"):
        try:
            record = store.read(path / RECORD, FileRecord)
        except (OSError, BrokenFile):
            continue
        if record.expires_at is not None and record.expires_at <= now:
            folders.vanish(path)
