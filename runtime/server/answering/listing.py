"""The models that can answer now: adapters, and base models whose files are here.

A base that would have to be downloaded first, or whose files are broken, is not among them, nor are its adapters.
"""

from collections.abc import Callable
from functools import cache

from msgspec import Struct

from runtime.server.index import Index
from state import models
from state.adapters import Adapter
from state.errors import BrokenFile, NotFound, ServiceError
from state.models import Model
from state.root import DataRoot


class Answerer(Struct, frozen=True):
    """`source` is where its files come from: a folder of the data root, or a hub id; `parent` is an adapter's base."""

    name: str
    source: str
    parent: str | None = None
    created: int = 0
    """Unix time; a base model's is not known."""


def listed(root: DataRoot, index: Index) -> list[Answerer]:
    """Base models first, then adapters, the newest first."""
    found = [_of_base(model) for model in models.available(root).models if _is_whole(model)]
    has_base = cache(lambda name: _base(root, name) is not None)
    return found + [_of_adapter(root, adapter) for adapter in index.adapters() if _can_answer(adapter, has_base)]


def find(root: DataRoot, index: Index, name: str) -> Answerer:
    """An adapter before a base model, by their files as they are now. Raises NotFound."""
    try:
        adapter = index.answering_adapter(name)
    except NotFound:
        model = _base(root, name)
        if model is None:
            raise NotFound(f"Model {name} not found: GET /v1/models lists those that can answer") from None
        return _of_base(model)
    if not _can_answer(adapter, lambda base: _base(root, base) is not None):
        problem = adapter.problem or f"its base model {adapter.model_name} is not here"
        raise NotFound(f"Adapter {name} cannot answer: {problem}")
    return _of_adapter(root, adapter)


def _can_answer(adapter: Adapter, has_base: Callable[[str], bool]) -> bool:
    return adapter.problem is None and has_base(adapter.model_name)


def _base(root: DataRoot, name: str) -> Model | None:
    try:
        model = models.resolve(root, name)
    except ServiceError:  # aliases.json is broken, and the name is nowhere else
        return None
    return model if model is not None and _is_whole(model) else None


def _is_whole(model: Model) -> bool:
    """Whether its weights are here, as far as names and sizes tell."""
    try:
        return model.folder is not None and bool(models.config(model.folder)) and models.size_mb(model.folder) > 0
    except (BrokenFile, FileNotFoundError):
        return False


def _of_base(model: Model) -> Answerer:
    return Answerer(model.name, f"models/{model.in_models}" if model.in_models else model.source)


def _of_adapter(root: DataRoot, adapter: Adapter) -> Answerer:
    created = int(adapter.created_at.timestamp())
    return Answerer(adapter.name, str(adapter.path.relative_to(root.path)), adapter.model_name, created)
