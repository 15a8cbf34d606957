"""POST /api/adapters/{adapter_name}/load: make an adapter the one that answers."""

from litestar import post
from litestar.di import NamedDependency
from litestar.params import FromPath
from msgspec import Struct

from runtime.server.service import Service


class LoadReply(Struct):
    adapter_name: str
    status: str
    message: str


@post("/adapters/{adapter_name:str}/load", status_code=200, opt={"action": "load adapter"})
async def load_adapter(adapter_name: FromPath[str], service: NamedDependency[Service]) -> LoadReply:
    await service.serving.load(adapter_name)
    return LoadReply(adapter_name, "loaded", f"Adapter {adapter_name} loaded successfully")
