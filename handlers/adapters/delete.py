"""DELETE /api/adapters/{adapter_name}: delete an adapter for good, its bytes in the job's folder too."""

from litestar import delete
from litestar.di import NamedDependency
from litestar.params import FromPath
from msgspec import Struct

from runtime.server.service import Service


class DeletedAdapterReply(Struct):
    adapter_name: str
    status: str
    message: str


@delete("/adapters/{adapter_name:str}", status_code=200, opt={"action": "delete adapter"})
async def delete_adapter(adapter_name: FromPath[str], service: NamedDependency[Service]) -> DeletedAdapterReply:
    await service.serving.delete(adapter_name)
    return DeletedAdapterReply(adapter_name, "deleted", f"Adapter {adapter_name} deleted successfully")
