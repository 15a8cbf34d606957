"""GET /api/models: the base models that can be trained."""

from typing import Literal

from litestar import get
from litestar.di import NamedDependency
from msgspec import Struct

from runtime.server.service import Service
from state import models
from state.errors import BrokenFile
from state.models import Model


class ModelReply(Struct):
    """`source` is a folder of models/, or a hub id, which a training downloads first where it is not `downloaded`.

    `problem` is why it cannot be trained, as far as its files tell; null when nothing is wrong.
    """

    name: str
    kind: Literal["folder", "alias", "hub"]
    source: str
    downloaded: bool
    architecture: str | None
    context_length: int | None
    size_mb: float | None
    problem: str | None


class ModelsReply(Struct):
    """`problem` is what is wrong with aliases.json, whose aliases are missing then."""

    models: list[ModelReply]
    total: int
    problem: str | None


@get("/models", opt={"action": "list models"}, sync_to_thread=True)
def list_models(service: NamedDependency[Service]) -> ModelsReply:
    found = models.available(service.root)
    described = [_describe(model) for model in found.models]
    return ModelsReply(models=described, total=len(described), problem=found.problem)


def _describe(model: Model) -> ModelReply:
    config: dict[str, object] = {}
    size_mb, problem = None, None
    if model.folder is not None:
        try:
            config = models.config(model.folder)
            size_mb = models.size_mb(model.folder)
        except (BrokenFile, FileNotFoundError) as error:
            problem = str(error)
    architectures = config.get("architectures")
    return ModelReply(
        name=model.name,
        kind=model.kind,
        source=model.in_models or model.source,
        downloaded=model.folder is not None,
        architecture=str(architectures[0]) if isinstance(architectures, list) and architectures else None,
        context_length=models.context_length(config),
        size_mb=size_mb,
        problem=problem,
    )
