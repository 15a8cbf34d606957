"""A file as OpenAI's protocol shows it."""

from typing import Literal

from msgspec import Struct, field

from state.uploaded_files import UploadedFile


class FileObject(Struct):
    """`status_details` names the rows that cannot be used, by their lines. Times are Unix times, in seconds."""

    id: str
    bytes: int
    created_at: int
    filename: str
    purpose: str
    status: str
    status_details: str | None = None
    expires_at: int | None = None
    object: Literal["file"] = field(default="file")


def file_object(file: UploadedFile) -> FileObject:
    record = file.record
    return FileObject(
        id=file.id,
        bytes=record.bytes,
        created_at=int(record.created_at.timestamp()),
        filename=record.filename,
        purpose=record.purpose,
        status=record.status,
        status_details=record.status_details,
        expires_at=int(record.expires_at.timestamp()) if record.expires_at else None,
    )
