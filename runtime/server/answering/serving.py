"""Which adapter answers, and asking it. The inference worker does the work in a process of its own.

What is current is kept here, not in the worker: every request to the worker names its base and adapter, so a worker
that died is replaced without anyone noticing but by the wait.
"""

import asyncio
import logging
from collections.abc import AsyncGenerator, Sequence
from contextlib import aclosing, suppress

from msgspec import Struct

from runtime.messages.inference import AdapterFiles, Generated, SamplingParameters
from runtime.server.adapters.names import AdapterNames
from runtime.server.answering.worker import Event, Prompt, Worker
from runtime.server.index import Index
from runtime.server.processes import ProcessDied
from state import adapter_places, adapter_records, adapters, models
from state.adapters import Adapter
from state.errors import Busy, NotFound, ServiceError
from state.root import DataRoot

log = logging.getLogger(__name__)

MAX_IN_FLIGHT = 128  # completions asked for and not done


class Answering(Struct, frozen=True):
    """Who answers a request: an adapter on its base, or the bare base."""

    model_name: str
    adapter: Adapter | None

    @property
    def name(self) -> str:
        return self.adapter.name if self.adapter else self.model_name


class Serving:
    """The adapter that is loaded, kept in step with its folder."""

    def __init__(self, root: DataRoot, index: Index, adapter_names: AdapterNames, worker: Worker) -> None:
        self._root = root
        self._index = index
        self._adapter_names = adapter_names
        self._worker = worker
        self._current: Adapter | None = None
        self._changing = asyncio.Lock()
        """Held while files change, never while something is loaded, which may take a download's time."""

    @property
    def current_name(self) -> str | None:
        return self._current.name if self._current else None

    async def load(self, name: str) -> None:
        """Make an adapter the one that answers. On failure the one before stays.

        Raises NotFound, and ServiceError with what is wrong with its files or its base.
        """
        adapter = await asyncio.to_thread(self._index.answering_adapter, name)
        await self._have_loaded(adapter)
        async with self._changing:
            self._current = await asyncio.to_thread(self._index.answering_adapter, name)  # as it is by now, if it is

    async def ready(self, name: str) -> None:
        """Have an adapter in memory. Which one answers without a name stays.

        Raises NotFound, and ServiceError with what is wrong with its files or its base.
        """
        await self._have_loaded(await asyncio.to_thread(self._index.answering_adapter, name))

    async def release(self, name: str) -> None:
        """Give back what an adapter takes of the memory; no request without a name is answered by it. Raises NotFound.

        The next request that names it loads it again.
        """
        adapter = await asyncio.to_thread(self._index.answering_adapter, name)
        async with self._changing:
            if self.current_name == name:
                self._current = None
        await self._forget_adapters(adapter)

    async def unload(self) -> str:
        """Let the base answer alone again; returns the adapter's name. Raises ServiceError when none is loaded."""
        current, self._current = self._current, None
        if current is None:
            raise ServiceError("No adapter currently loaded")
        await self._forget_adapters()
        return current.name

    async def update(self, name: str, new_name: str | None, description: str | None, tags: list[str] | None) -> Adapter:
        """Change of an adapter what is not None; a loaded one stays loaded, under its new name.

        Raises NotFound; ServiceError for a name that it cannot have, or when the disk refuses.
        """
        async with self._changing:
            is_current = self.current_name == name
            await asyncio.to_thread(self._update, name, new_name or name, description, tags)
            updated = self._index.adapter(new_name or name)
            if is_current:
                self._current = updated
            return updated

    def _update(self, name: str, new_name: str, description: str | None, tags: list[str] | None) -> None:
        """The new name comes last: what was cut off before it can be asked for again, under the old one."""
        adapters.find(self._root, name)
        taken = new_name if new_name != name else None
        with self._adapter_names.reserved("name", taken):
            if description is not None or tags is not None:
                adapter_records.describe(self._root, name, description, tags)
            if taken is not None:
                adapter_places.rename(self._root, name, taken)
            self._index.refresh_adapter(name)
            self._index.refresh_adapter(new_name)

    async def delete(self, name: str) -> None:
        """Delete an adapter's files; a loaded one is unloaded. Raises NotFound; ServiceError when the disk refuses."""
        adapters.find(self._root, name)
        async with self._changing:
            is_current = self.current_name == name
            if is_current:
                self._current = None
            await asyncio.to_thread(adapter_places.remove, self._root, name)
        self._index.refresh_adapter(name)
        if is_current:
            await self._forget_adapters()

    def answering(self, name: str | None) -> Answering:
        """Who goes by this name, an adapter before a base model; without one the loaded adapter.

        Raises NotFound when nobody does, or its base is not here, as nothing is downloaded for an answer; ServiceError
        when no adapter is loaded or the adapter is broken.
        """
        if name is None:
            return self.loaded()
        try:
            adapter = self._index.answering_adapter(name)
        except NotFound:
            try:
                return self.base(name)
            except ServiceError as error:
                raise NotFound(str(error)) from error
        _check(adapter)
        try:
            return Answering(self.base(adapter.model_name).model_name, adapter)
        except ServiceError as error:
            raise NotFound(f"Adapter {name} cannot answer: {error}") from error

    def loaded(self) -> Answering:
        """The loaded adapter. Raises ServiceError when there is none."""
        if self._current is None:
            raise ServiceError(
                "No adapter currently loaded: load one with POST /api/adapters/<adapter_name>/load, "
                "or name the model that is to answer"
            )
        return Answering(self._current.model_name, self._current)

    def base(self, name: str) -> Answering:
        """A base model without any adapter. Raises ServiceError when none of that name is here."""
        model = models.find(self._root, name)
        if model.folder is None:
            raise ServiceError(
                f"Model {name} not available: it has not been downloaded. Do that with .venv/bin/hf download "
                f"{model.source}, or train on it"
            )
        return Answering(name, None)

    async def complete(
        self, answering: Answering, prompts: Sequence[tuple[Prompt, SamplingParameters]]
    ) -> list[Generated]:
        """Complete prompts side by side. Raises ServiceError, and then none is; Busy, before any is begun."""
        async with aclosing(self.stream(answering, prompts, pieces=False)) as events:
            found = {number: event async for number, event in events if isinstance(event, Generated)}
        return [found[number] for number in range(len(prompts))]

    def stream(
        self, answering: Answering, prompts: Sequence[tuple[Prompt, SamplingParameters]], *, pieces: bool = True
    ) -> AsyncGenerator[Event]:
        """The pieces of each prompt's completion as they come, then the whole of it.

        Closing it gives up what is not done. Raises ServiceError, at once for what can never be; Busy, before anything
        is begun; what the model cannot take is found out by iterating.
        """
        if len(prompts) > MAX_IN_FLIGHT:
            raise ServiceError(f"One request may ask for {MAX_IN_FLIGHT} completions, and this is for {len(prompts)}")
        if self._worker.in_flight + len(prompts) > MAX_IN_FLIGHT:
            raise Busy(
                f"{self._worker.in_flight} completions are under way, and {MAX_IN_FLIGHT} are the most: try again"
            )
        source, adapter = self._source(answering.model_name), answering.adapter
        if adapter is None:
            return self._worker.generate(source, None, prompts, stream=pieces)
        return self._worker.generate(source, _files(adapter), prompts, stream=pieces, chat=adapter.chat)

    async def follow_files(self) -> None:
        """Unload an adapter whose folder went, load again one whose files changed.

        Raises ServiceError when the changed files cannot be loaded; then no adapter is.
        """
        async with self._changing:
            current = self._current
            if current is None:
                return
            try:
                newest = await asyncio.to_thread(self._index.answering_adapter, current.name)
            except NotFound:
                log.warning("Adapter %s was removed while loaded: unloading it", current.name)
                self._current = newest = None
        if newest is None:
            await self._forget_adapters()
        elif newest.fingerprint != current.fingerprint:
            log.warning("The files of adapter %s changed: loading it again", current.name)
            await self._follow(current, newest)
        elif self._current is current:
            self._current = newest  # its record may say another way to ask it

    async def _follow(self, current: Adapter, newest: Adapter) -> None:
        """Let an adapter answer with its files of now, unless another one answers by the time they are loaded."""
        loaded = None
        try:
            await self._have_loaded(newest)
            loaded = newest
        finally:
            if self._current is current:
                self._current = loaded

    async def _have_loaded(self, adapter: Adapter) -> None:
        _check(adapter)
        await self._worker.load(self._source(adapter.model_name), _files(adapter))

    async def _forget_adapters(self, only: Adapter | None = None) -> None:
        with suppress(ProcessDied):  # with all that it had loaded
            await self._worker.unload(None if only is None else str(only.path))

    def _source(self, model_name: str) -> str:
        return models.find(self._root, model_name).load_from


def _check(adapter: Adapter) -> None:
    if adapter.problem is not None:
        raise ServiceError(f"Failed to load adapter {adapter.name}: {adapter.problem}")


def _files(adapter: Adapter) -> AdapterFiles:
    return AdapterFiles(
        str(adapter.path), ";".join(f"{name}:{size}:{changed}" for name, size, changed in adapter.fingerprint)
    )
