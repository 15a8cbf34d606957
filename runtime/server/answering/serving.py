"""Which adapter answers, and asking it. The inference worker does the work in a process of its own.

What is current is kept here, not in the worker: every request to the worker names its base and adapter, so a worker
that died is replaced without anyone noticing but by the wait.
"""

import asyncio
import logging
from collections.abc import AsyncGenerator, Callable, Sequence
from contextlib import aclosing

from msgspec import Struct

from runtime.server.adapters.names import AdapterNames
from runtime.server.answering.worker import AdapterFiles, Generated, Message, SamplingParameters, TextDelta, Worker
from runtime.server.index import Index
from state import adapter_places, adapter_records, adapters, models
from state.adapters import Adapter
from state.errors import Busy, NotFound, ServiceError
from state.root import DataRoot

log = logging.getLogger(__name__)


MAX_IN_FLIGHT = 128  # completions asked for and not done

Prompt = str | list[int | Message]


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
        self._in_flight = 0

    @property
    def current_name(self) -> str | None:
        return self._current.name if self._current else None

    async def load(self, name: str) -> None:
        """Make an adapter the one that answers. On failure the one before stays.

        Raises NotFound, and ServiceError with what is wrong with its files or its base.
        """
        async with self._changing:
            await asyncio.to_thread(self._index.refresh_adapter, name)
            await self._load(self._index.adapter(name))

    async def unload(self) -> str:
        """Let the base answer alone again; returns the adapter's name. Raises ServiceError when none is loaded."""
        async with self._changing:
            if self._current is None:
                raise ServiceError("No adapter currently loaded")
            name = self._current.name
            self._current = None
            await self._worker.unload()
            return name

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
        """Delete an adapter's files, unloading it first. Raises NotFound; ServiceError when the disk refuses."""
        adapters.find(self._root, name)
        async with self._changing:
            if self.current_name == name:
                self._current = None
                await self._worker.unload()
            await asyncio.to_thread(adapter_places.remove, self._root, name)
        self._index.refresh_adapter(name)

    def answering(self, name: str | None) -> Answering:
        """Who goes by this name, an adapter before a base model; without one the loaded adapter.

        Raises NotFound when nobody does, ServiceError when no adapter is loaded or the adapter is broken.
        """
        if name is None:
            return self.loaded()
        try:
            adapter = self._index.adapter(name)
        except NotFound:
            try:
                return self.base(name)
            except ServiceError as error:
                raise NotFound(str(error)) from error
        _check(adapter)
        return Answering(adapter.model_name, adapter)

    def loaded(self) -> Answering:
        """The loaded adapter. Raises ServiceError when there is none."""
        if self._current is None:
            raise ServiceError(
                "No adapter currently loaded: load one with POST /api/adapters/<adapter_name>/load, "
                "or name the model that is to answer"
            )
        return Answering(self._current.model_name, self._current)

    def base(self, name: str) -> Answering:
        """A base model without any adapter. Raises ServiceError when there is none of that name."""
        models.find(self._root, name)
        return Answering(name, None)

    async def complete(
        self, answering: Answering, prompts: Sequence[tuple[Prompt, SamplingParameters]]
    ) -> list[Generated]:
        """Complete prompts side by side. Raises ServiceError, and then none is; Busy, before any is begun."""
        async with aclosing(self.stream(answering, prompts, pieces=False)) as events:
            found = {index: event async for index, event in events if isinstance(event, Generated)}
        return [found[index] for index in range(len(prompts))]

    async def stream(
        self, answering: Answering, prompts: Sequence[tuple[Prompt, SamplingParameters]], *, pieces: bool = True
    ) -> AsyncGenerator[tuple[int, TextDelta | Generated]]:
        """The pieces of each prompt's completion as they come, then the whole of it, with the prompt's number.

        Closing it stops what is not done. Raises ServiceError; Busy, before anything is begun.
        """
        if self._in_flight + len(prompts) > MAX_IN_FLIGHT:
            raise Busy(f"{self._in_flight} completions are under way, and {MAX_IN_FLIGHT} are the most: try again")
        events: asyncio.Queue[tuple[int, TextDelta | Generated | BaseException]] = asyncio.Queue()

        async def work(index: int, prompt: Prompt, choosing: SamplingParameters) -> None:
            try:
                hear = (lambda piece: events.put_nowait((index, piece))) if pieces else None
                events.put_nowait((index, await self._ask(answering, prompt, choosing, hear)))
            except Exception as error:  # noqa: BLE001  raised below, where it is waited for
                events.put_nowait((index, error))

        self._in_flight += len(prompts)
        tasks = [asyncio.create_task(work(index, *asked)) for index, asked in enumerate(prompts)]
        try:
            left = len(tasks)
            while left:
                index, event = await events.get()
                if isinstance(event, BaseException):
                    raise event
                left -= isinstance(event, Generated)
                yield index, event
        finally:
            self._in_flight -= len(prompts)
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)

    async def _ask(
        self,
        answering: Answering,
        prompt: Prompt,
        choosing: SamplingParameters,
        hear: Callable[[TextDelta], None] | None,
    ) -> Generated:
        files = _files(answering.adapter) if answering.adapter else None
        return await self._worker.generate(self._source(answering.model_name), files, prompt, choosing, hear)

    async def follow_files(self) -> None:
        """Unload an adapter whose folder went, load again one whose files changed.

        Raises ServiceError when the changed files cannot be loaded; then no adapter is.
        """
        current = self._current
        if current is None or self._changing.locked():
            return
        async with self._changing:
            try:
                newest = self._index.adapter(current.name)
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
        _check(adapter)
        await self._worker.load(self._source(adapter.model_name), _files(adapter))
        self._current = adapter

    def _source(self, model_name: str) -> str:
        model = models.find(self._root, model_name)
        return str(model.folder or model.source)


def _check(adapter: Adapter) -> None:
    if adapter.problem is not None:
        raise ServiceError(f"Failed to load adapter {adapter.name}: {adapter.problem}")


def _files(adapter: Adapter) -> AdapterFiles:
    return AdapterFiles(
        str(adapter.path), ";".join(f"{name}:{size}:{changed}" for name, size, changed in adapter.fingerprint)
    )
