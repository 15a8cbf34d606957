"""The running service: its parts, built once by main.py and handed to the handlers."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from functools import partial

from litestar import Litestar
from msgspec import Struct

from runtime import arrivals, watch
from runtime.cache import Cache
from runtime.launch import Launcher
from runtime.machine import Machine
from runtime.queue import Queue
from runtime.serving import Serving
from runtime.worker import Worker
from state import folders
from state.root import DataRoot


class Service(Struct, frozen=True):
    """What a handler may need."""

    root: DataRoot
    machine: Machine
    cache: Cache
    queue: Queue
    serving: Serving
    worker: Worker
    unload_after_s: float
    """How long the inference worker keeps its memory while nobody asks it anything; 0: for ever."""

    @classmethod
    def build(
        cls, root: DataRoot, machine: Machine, slots: int, *, spare_trainer: bool, unload_after_s: float
    ) -> "Service":
        """The service of one data root, its cache filled; nothing runs yet."""
        root.create()
        for parent in (root.training_jobs, root.training_data):
            folders.sweep(parent)  # nobody else makes folders there, and this server has not begun to
        folders.sweep(root.adapters, by=arrivals.BY)  # trainers make folders there too
        folders.sweep(root.exports)
        cache = Cache(root)
        cache.rescan()
        worker = Worker(root.quantized_bases)
        launcher = Launcher(may_have_spare=spare_trainer)
        queue = Queue(root, cache, machine, launcher, slots, partial(worker.rest, 0.0))
        return cls(root, machine, cache, queue, Serving(root, cache, worker), worker, unload_after_s)

    @asynccontextmanager
    async def running(self, _: Litestar) -> AsyncIterator[None]:
        """Watch the folders and work the queue for as long as the server lives. Trainers go on after it."""
        tasks = [
            asyncio.create_task(watch.follow_events(self.root, self.cache, self._changed)),
            asyncio.create_task(watch.rescan_forever(self.cache, self.serving, self._changed)),
            asyncio.create_task(self.queue.run()),
        ]
        if self.unload_after_s > 0:
            tasks.append(asyncio.create_task(self._unload_when_idle()))
        try:
            yield
        finally:
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)
            self.queue.close()
            await self.worker.close()

    async def _unload_when_idle(self) -> None:
        while True:
            await asyncio.sleep(min(5.0, self.unload_after_s / 4))
            await self.worker.rest(self.unload_after_s)

    def _changed(self) -> None:
        self.queue.wake()
