"""POST /api/adapters/unload: let no adapter answer any more."""

from litestar import post
from litestar.di import NamedDependency
from msgspec import Struct

from runtime.server.service import Service


class UnloadReply(Struct):
    adapter_name: str
    status: str
    message: str


@post("/adapters/unload", status_code=200, opt={"action": "unload adapter"})
async def unload_adapter(service: NamedDependency[Service]) -> UnloadReply:
    name = await service.serving.unload()
    return UnloadReply(name, "unloaded", f"Adapter {name} unloaded successfully")
