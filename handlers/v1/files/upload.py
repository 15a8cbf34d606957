"""POST /v1/files: keep a file to train on, in OpenAI's protocol."""

import asyncio
import shutil
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

from litestar import Request, post
from litestar.di import NamedDependency
from litestar.exceptions import HTTPException
from litestar.openapi.spec import OpenAPIFormat, OpenAPIMediaType, OpenAPIType, Operation, RequestBody, Schema

from handlers._http.received_file import FORM, receive
from handlers.v1.files.file_object import FileObject, file_object
from runtime.server.service import Service
from state import uploaded_files, uploads
from state.errors import ServiceError

PURPOSE = "fine-tune"
SHORTEST_S, LONGEST_S = 3600, 2_592_000
FIELDS = ("purpose", "expires_after[anchor]", "expires_after[seconds]")


@dataclass
class FileOperation(Operation):
    """Says in the OpenAPI description what the form holds."""

    def __post_init__(self) -> None:
        fields = {
            "file": Schema(type=OpenAPIType.STRING, format=OpenAPIFormat.BINARY),
            "purpose": Schema(type=OpenAPIType.STRING, enum=[PURPOSE]),
            "expires_after[anchor]": Schema(type=OpenAPIType.STRING, enum=["created_at"]),
            "expires_after[seconds]": Schema(type=OpenAPIType.INTEGER, minimum=SHORTEST_S, maximum=LONGEST_S),
        }
        form = Schema(type=OpenAPIType.OBJECT, properties={**fields}, required=["file", "purpose"])
        self.request_body = RequestBody(content={FORM: OpenAPIMediaType(form)}, required=True)


@post(
    "/files",
    status_code=200,
    opt={"action": "keep the file"},
    operation_class=FileOperation,
    request_max_body_size=None,  # a file may be as large as the disk has room for
)
async def upload_file(request: Request[Any, Any, Any], service: NamedDependency[Service]) -> FileObject:
    """Its rows are read before the answer: a file with wrong ones is kept, with `status` "error"."""
    if request.content_type[0] != FORM:
        raise HTTPException(f"Send the file in a form, as {FORM}, with its purpose", status_code=415)
    with uploads.receiving(service.root) as file:
        received = await receive(request, file, shutil.disk_usage(file.parent).free)
        expires_after = _checked(received.fields)
        await asyncio.to_thread(uploaded_files.remove_expired, service.root)
        kept = await asyncio.to_thread(
            uploaded_files.take_in, service.root, file, received.name or "upload", expires_after
        )
    return file_object(kept)


def _checked(fields: dict[str, str]) -> timedelta | None:
    """What the form's fields say of the file's end. Raises ServiceError for what they cannot say."""
    unknown = [name for name in fields if name not in FIELDS]
    if unknown:
        raise ServiceError(f"unknown field {', '.join(unknown)}: there is file, {', '.join(FIELDS)}")
    purpose, anchor, seconds = (fields.get(name) for name in FIELDS)
    if purpose != PURPOSE:
        said = "is required" if purpose is None else f"is {purpose!r}"
        raise ServiceError(f'purpose {said}: this server keeps files to train on, whose purpose is "{PURPOSE}"')
    if anchor is None and seconds is None:
        return None
    if anchor != "created_at":
        raise ServiceError('expires_after[anchor] must be "created_at"')
    if seconds is None or not seconds.isdecimal() or not SHORTEST_S <= int(seconds) <= LONGEST_S:
        raise ServiceError(f"expires_after[seconds] must be a number from {SHORTEST_S} to {LONGEST_S}")
    return timedelta(seconds=int(seconds))
