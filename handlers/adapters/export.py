"""POST /api/adapters/{adapter_name}/export: make a folder of an adapter that other programs can use."""

from typing import Any

from litestar import Request, post
from litestar.di import NamedDependency
from litestar.params import FromPath, JSONBody
from msgspec import Struct

from handlers._http.bodies import while_connected
from runtime.messages.export import Format
from runtime.server.service import Service


class ExportRequest(Struct, forbid_unknown_fields=True):
    format: Format
    output_dir: str | None = None


class ExportReply(Struct):
    """`size_mb` is in 10^6 bytes, all files of the folder."""

    adapter_name: str
    format: str
    path: str
    files: list[str]
    size_mb: float
    status: str
    message: str


@post("/adapters/{adapter_name:str}/export", status_code=200, opt={"action": "export adapter"})
async def export_adapter(
    adapter_name: FromPath[str],
    data: JSONBody[ExportRequest],
    service: NamedDependency[Service],
    request: Request[Any, Any, Any],
) -> ExportReply:
    adapter = service.index.answering_adapter(adapter_name)
    folder = await while_connected(request, service.exporter.export(adapter, data.format, data.output_dir))
    sizes = {file.name: file.stat().st_size for file in sorted(folder.iterdir())}
    return ExportReply(
        adapter_name=adapter_name,
        format=data.format,
        path=service.root.shown(folder),
        files=list(sizes),
        size_mb=round(sum(sizes.values()) / 1e6, 3),
        status="exported",
        message=f"Adapter {adapter_name} exported successfully",
    )
