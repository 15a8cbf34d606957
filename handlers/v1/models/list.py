"""GET /v1/models: the base models and adapters that can answer now, in OpenAI's protocol."""

from typing import Literal

from litestar import get
from litestar.di import NamedDependency
from msgspec import Struct

from handlers.v1.models.entries import Model
from runtime.server.answering import listing
from runtime.server.service import Service


class ModelList(Struct):
    data: list[Model]
    object: Literal["list"] = "list"


@get("/models", opt={"action": "list models"}, sync_to_thread=True)
def list_models(service: NamedDependency[Service]) -> ModelList:
    return ModelList([Model.of(answerer) for answerer in listing.listed(service.root, service.index)])
