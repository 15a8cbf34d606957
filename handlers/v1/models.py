"""GET /v1/models: base models and adapters, in OpenAI's protocol."""

from typing import Literal

from litestar import get
from litestar.di import NamedDependency
from msgspec import Struct, field

from runtime.server.service import Service
from state import models


class Model(Struct):
    """`parent` is an adapter's base."""

    id: str
    created: int
    """Unix time; of an adapter, since a base model's is not known."""
    owned_by: str
    parent: str | None = None
    object: Literal["model"] = "model"


class ModelList(Struct):
    data: list[Model]
    object: Literal["list"] = field(default="list")


@get("/models", opt={"action": "list models"}, sync_to_thread=True)
def list_models(service: NamedDependency[Service]) -> ModelList:
    adapters = [
        Model(adapter.name, int(adapter.created_at.timestamp()), "lathe", adapter.model_name)
        for adapter in service.index.adapters()
    ]
    return ModelList([*(Model(model.name, 0, "local") for model in models.available(service.root).models), *adapters])
