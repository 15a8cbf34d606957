"""GET /api/models: the base models that can be trained."""

from contextlib import suppress
from typing import Literal

from litestar import get
from litestar.di import NamedDependency
from msgspec import Struct

from runtime.server.service import Service
from state import models
from state.errors import BrokenFile
from state.models import Model


class ModelReply(Struct):
    """`source` is a folder of models/, or the hub id that is downloaded on first use."""

    name: str
    kind: Literal["folder", "alias", "hub"]
    source: str
    downloaded: bool
    architecture: str | None
    context_length: int | None
    size_mb: float | None


class ModelsReply(Struct):
    models: list[ModelReply]
    total: int


@get("/models", opt={"action": "list models"}, sync_to_thread=True)
def list_models(service: NamedDependency[Service]) -> ModelsReply:
    found = [_describe(model) for model in models.available(service.root)]
    return ModelsReply(models=found, total=len(found))


def _describe(model: Model) -> ModelReply:
    config: dict[str, object] = {}
    if model.folder is not None:
        with suppress(BrokenFile, FileNotFoundError):  # listed all the same; a start says what is wrong
            config = models.config(model.folder)
    architectures = config.get("architectures")
    return ModelReply(
        name=model.name,
        kind=model.kind,
        source=model.folder.name if model.kind == "folder" and model.folder else model.source,
        downloaded=model.folder is not None,
        architecture=str(architectures[0]) if isinstance(architectures, list) and architectures else None,
        context_length=models.context_length(config),
        size_mb=models.size_mb(model.folder) if model.folder else None,
    )
