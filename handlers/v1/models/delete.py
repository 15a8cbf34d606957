"""DELETE /v1/models/{name}: delete an adapter for good, in OpenAI's protocol; a base model is never deleted."""

from typing import Literal

from litestar import delete
from litestar.di import NamedDependency
from litestar.params import FromPath
from msgspec import Struct

from runtime.server.service import Service
from state import models
from state.errors import NotFound, ServiceError


class DeletedModelReply(Struct):
    id: str
    object: Literal["model"] = "model"
    deleted: bool = True


@delete("/models/{name:path}", status_code=200, opt={"action": "delete model"})
async def delete_model(name: FromPath[str], service: NamedDependency[Service]) -> DeletedModelReply:
    name = name.removeprefix("/")
    try:
        await service.serving.delete(name)
    except NotFound:
        model = models.resolve(service.root, name)
        if model is None or (model.kind == "hub" and model.folder is None):
            raise NotFound(f"Model {name} not found") from None
        raise ServiceError(
            f"{name} is a base model, and only adapters are deleted here: remove its files by hand"
        ) from None
    return DeletedModelReply(name)
