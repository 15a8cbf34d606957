"""PATCH /api/adapters/{adapter_name}: give an adapter another name, description or tags."""

from typing import Annotated

from litestar import patch
from litestar.di import NamedDependency
from litestar.params import FromPath, JSONBody
from msgspec import Meta, Struct

from handlers.adapters.show import AdapterReply
from runtime.server.service import Service
from state.errors import ServiceError

Tag = Annotated[str, Meta(min_length=1, max_length=100)]


class UpdateRequest(Struct, forbid_unknown_fields=True):
    """What is left out stays; tags take the place of those before."""

    name: str | None = None
    description: str | None = None
    tags: list[Tag] | None = None


@patch("/adapters/{adapter_name:str}", opt={"action": "update adapter"})
async def update_adapter(
    adapter_name: FromPath[str], data: JSONBody[UpdateRequest], service: NamedDependency[Service]
) -> AdapterReply:
    if data.name is None and data.description is None and data.tags is None:
        raise ServiceError("Nothing to change: give name, description or tags")
    adapter = await service.serving.update(adapter_name, data.name, data.description, data.tags)
    return AdapterReply.of(adapter, service)
