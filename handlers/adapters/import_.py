"""POST /api/adapters/import: take in a PEFT adapter, from a path in the data root or as the body itself."""

import asyncio
import shutil
from dataclasses import dataclass
from tempfile import TemporaryFile
from typing import Any

from litestar import Request, post
from litestar.di import NamedDependency
from litestar.exceptions import HTTPException
from litestar.openapi.spec import OpenAPIFormat, OpenAPIMediaType, OpenAPIType, Operation, RequestBody, Schema
from litestar.params import FromQuery
from msgspec import Struct

from handlers._http.bodies import decoded, pieces
from runtime.server.service import Service
from state import archives
from state.adapters import Adapter
from state.errors import ServiceError

ARCHIVES = ("application/zip", "application/gzip", "application/x-tar")


MAX_JSON = 2**20  # bytes


class ImportRequest(Struct, forbid_unknown_fields=True):
    """Without a name it has that of its folder or archive."""

    path: str
    adapter_name: str | None = None
    description: str | None = None


class ImportReply(Struct):
    """`model_name` is the base that the adapter was made for, as Lathe would look for it."""

    adapter_name: str
    model_name: str
    status: str
    message: str


@dataclass
class ImportOperation(Operation):
    """Says in the OpenAPI description that the body may be either."""

    def __post_init__(self) -> None:
        text = Schema(type=OpenAPIType.STRING)
        fields = dict.fromkeys(ImportRequest.__struct_fields__, text)
        form = Schema(type=OpenAPIType.OBJECT, properties={**fields}, required=["path"], additional_properties=False)
        archive = OpenAPIMediaType(Schema(type=OpenAPIType.STRING, format=OpenAPIFormat.BINARY))
        content = {"application/json": OpenAPIMediaType(form)} | dict.fromkeys(ARCHIVES, archive)
        self.request_body = RequestBody(content=content, required=True)


@post(
    "/adapters/import",
    status_code=200,
    opt={"action": "import adapter"},
    operation_class=ImportOperation,
    request_max_body_size=None,  # an archive goes to a file, and may be as large as the disk has room for
)
async def import_adapter(
    request: Request[Any, Any, Any],
    service: NamedDependency[Service],
    adapter_name: FromQuery[str | None] = None,
    description: FromQuery[str | None] = None,
) -> ImportReply:
    kind = request.content_type[0]
    if kind in ARCHIVES:
        adapter = await _from_body(request, service, adapter_name, description)
    elif kind == "application/json":
        body = b"".join([piece async for piece in pieces(request, MAX_JSON)])
        data = decoded(request, ImportRequest, body)
        name, words = data.adapter_name or adapter_name, data.description or description
        adapter = await asyncio.to_thread(service.imports.from_path, data.path, name, words)
    else:
        raise HTTPException(
            f"Send JSON with a path, or an archive, with its Content-Type: {', '.join(ARCHIVES)}", status_code=415
        )
    message = f"Adapter {adapter.name} imported successfully"
    return ImportReply(adapter.name, adapter.model_name, "imported", message)


async def _from_body(
    request: Request[Any, Any, Any], service: Service, name: str | None, description: str | None
) -> Adapter:
    """The archive lies in a file without a name, which goes with this process however it ends."""
    if name is None:
        raise ServiceError("adapter_name is required: POST /api/adapters/import?adapter_name=...")
    room = shutil.disk_usage(service.root.path).free // 2  # it is unpacked beside itself
    with TemporaryFile(dir=service.root.path) as file:
        async for chunk in pieces(request, room):
            await asyncio.to_thread(file.write, chunk)
        package = archives.archive(file)
        return await asyncio.to_thread(service.imports.take_in, package, name, description)
