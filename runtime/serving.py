"""Which adapter answers, and asking it. The inference worker does the work in a process of its own.

What is current is kept here, not in the worker: every request to the worker names its base and adapter, so a worker
that died is replaced without anyone noticing but by the wait.
"""

import asyncio
import logging

from msgspec import Struct

from runtime.cache import Cache
from runtime.worker import Generated, Worker
from state import adapters, models
from state.adapters import Adapter
from state.errors import NotFound, ServiceError
from state.root import DataRoot

log = logging.getLogger(__name__)


class Answer(Struct, frozen=True):
    """A completion, and who made it. `adapter` is None where the bare base answered."""

    generated: Generated
    model_name: str
    adapter: str | None


class Sampling(Struct, frozen=True, kw_only=True):
    """How tokens are chosen. `temperature` 0 takes the most likely token each time."""

    max_new_tokens: int
    temperature: float
    top_p: float
    seed: int | None
    stop: tuple[str, ...]


class Serving:
    """The adapter that is loaded, kept in step with its folder."""

    def __init__(self, root: DataRoot, cache: Cache, worker: Worker) -> None:
        self._root = root
        self._cache = cache
        self._worker = worker
        self._current: Adapter | None = None
        self._changing = asyncio.Lock()

    @property
    def current_name(self) -> str | None:
        return self._current.name if self._current else None

    async def load(self, name: str) -> None:
        """Make an adapter the one that answers. On failure the one before stays.

        Raises NotFound, and ServiceError with what is wrong with its files or its base.
        """
        async with self._changing:
            await asyncio.to_thread(self._cache.refresh_adapter, name)
            await self._load(self._cache.adapter(name))

    async def unload(self) -> str:
        """Let the base answer alone again; returns the adapter's name. Raises ServiceError when none is loaded."""
        async with self._changing:
            if self._current is None:
                raise ServiceError("No adapter currently loaded")
            name = self._current.name
            self._current = None
            await self._worker.unload()
            return name

    async def delete(self, name: str) -> None:
        """Delete an adapter's files, unloading it first. Raises NotFound; ServiceError when the disk refuses."""
        adapters.find(self._root, name)
        async with self._changing:
            if self.current_name == name:
                self._current = None
                await self._worker.unload()
            await asyncio.to_thread(adapters.remove, self._root, name)
        self._cache.refresh_adapter(name)

    async def generate(self, prompt: str, model_name: str | None, sampling: Sampling) -> Answer:
        """Complete a prompt: by the loaded adapter, or by a bare base model where `model_name` asks for one."""
        adapter = self._current if model_name is None else None
        if adapter is not None:
            base = adapter.model_name
        elif model_name is not None:
            base = model_name
        else:
            raise ServiceError(
                "No adapter currently loaded: load one with POST /api/adapters/<adapter_name>/load, "
                "or name a base model in model_name"
            )
        generated = await self._worker.generate(
            source=self._source(base),
            adapter_path=str(adapter.path) if adapter else None,
            fingerprint=_text(adapter.fingerprint) if adapter else None,
            prompt=prompt,
            max_new_tokens=sampling.max_new_tokens,
            temperature=sampling.temperature,
            top_p=sampling.top_p,
            seed=sampling.seed,
            stop=sampling.stop,
        )
        return Answer(generated=generated, model_name=base, adapter=adapter.name if adapter else None)

    async def follow_files(self) -> None:
        """Unload an adapter whose folder went, load again one whose files changed.

        Raises ServiceError when the changed files cannot be loaded; then no adapter is.
        """
        current = self._current
        if current is None or self._changing.locked():
            return
        async with self._changing:
            try:
                newest = self._cache.adapter(current.name)
            except NotFound:
                log.warning("Adapter %s was removed while loaded: unloading it", current.name)
                self._current = None
                await self._worker.unload()
                return
            if newest.fingerprint != current.fingerprint:
                log.warning("The files of adapter %s changed: loading it again", current.name)
                self._current = None
                await self._load(newest)

    async def _load(self, adapter: Adapter) -> None:
        if adapter.problem is not None:
            raise ServiceError(f"Failed to load adapter {adapter.name}: {adapter.problem}")
        await self._worker.load(
            source=self._source(adapter.model_name),
            adapter_path=str(adapter.path),
            fingerprint=_text(adapter.fingerprint),
        )
        self._current = adapter

    def _source(self, model_name: str) -> str:
        model = models.find(self._root, model_name)
        return str(model.folder or model.source)


def _text(fingerprint: tuple[tuple[str, int, int], ...]) -> str:
    return ";".join(f"{name}:{size}:{changed}" for name, size, changed in fingerprint)
