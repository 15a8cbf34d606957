"""The running service: its parts, built once by main.py and handed to the handlers."""

import asyncio
from collections.abc import AsyncIterator, Callable, Coroutine
from contextlib import asynccontextmanager, suppress
from functools import partial
from pathlib import Path
from typing import Any

from msgspec import Struct

from runtime.messages.training import MEMORY_LIMIT
from runtime.process.machine import Machine
from runtime.server import watch
from runtime.server.adapters import importing
from runtime.server.adapters.exporting import Exporter
from runtime.server.adapters.importing import Imports
from runtime.server.adapters.names import AdapterNames
from runtime.server.answering.lora_loading import LoraLoading
from runtime.server.answering.serving import Serving
from runtime.server.answering.tokenizing import Tokenizing
from runtime.server.answering.worker import Worker
from runtime.server.data.inspection import Inspector
from runtime.server.evaluating.evaluator import Evaluator
from runtime.server.index import Index
from runtime.server.jobs.accelerators import Accelerators
from runtime.server.jobs.claims import Claims
from runtime.server.jobs.forecasting import Forecaster
from runtime.server.jobs.launch import Launcher
from runtime.server.jobs.queue import Queue
from runtime.server.jobs.repeated import Repeated
from runtime.server.jobs.room import Room
from runtime.server.jobs.sparks import Sparks
from runtime.server.jobs.submission import Submission
from runtime.server.jobs.trainers import Trainers
from runtime.server.meter import Meter
from runtime.server.news.lookout import Lookout
from runtime.server.watch import Watch
from state import exports, folders
from state.root import DataRoot

READ_FIRST_S = 0.3
"""How long the first answer waits for the folders to be read, so that small ones are never listed in part."""


class Service(Struct, frozen=True):
    """What a handler may need."""

    root: DataRoot
    machine: Machine
    index: Index
    submission: Submission
    repeated: Repeated
    imports: Imports
    trainers: Trainers
    queue: Queue
    serving: Serving
    tokenizing: Tokenizing
    lora_loading: LoraLoading
    worker: Worker
    evaluator: Evaluator
    exporter: Exporter
    forecaster: Forecaster
    inspector: Inspector
    sparks: Sparks
    lookout: Lookout
    meter: Meter
    ending: asyncio.Event
    """Set as soon as the server is asked to end: whoever would go on for as long as it lives ends then."""
    unload_after_s: float
    """How long the inference worker keeps its memory while nobody asks it anything; 0: for ever."""

    @classmethod
    def build(  # noqa: PLR0913  what the command line decides
        cls,
        root: DataRoot,
        machine: Machine,
        slots: int,
        *,
        spare_trainer: bool,
        unload_after_s: float,
        memory_mb: int | None = None,
        llama_server: Path | None = None,
    ) -> "Service":
        """The service of one data root; nothing is read and nothing runs yet.

        `memory_mb` is what a trainer may take, in 2^20 bytes; without it LATHE_MEMORY_MB says, else what is free.
        `llama_server` is the program that completes prompts in place of the embedded engine.
        """
        root.create()
        for parent in (root.training_jobs, root.training_data, root.evaluations):
            folders.sweep(parent)  # nobody else makes folders there, and this server has not begun to
        folders.sweep(root.adapters, by=importing.BY)  # trainers make folders there too
        exports.sweep(root)
        index = Index(root)
        adapter_names = AdapterNames(root, index)
        accelerators = Accelerators(machine)
        meter = Meter()
        ending = asyncio.Event()
        limits = {} if memory_mb is None else {MEMORY_LIMIT: str(memory_mb)}
        launcher = Launcher(accelerators, limits, may_have_spare=spare_trainer)
        trainers = Trainers(launcher, accelerators)
        worker = Worker(
            root.quantized_bases,
            place=accelerators.inferring,
            meter=meter,
            llama_server=llama_server,
            leave_mb=Claims(index, trainers, accelerators).beside_inference_mb,
        )
        imports = Imports(root, index, adapter_names)
        serving = Serving(root, index, adapter_names, worker)
        evaluator = Evaluator(root, index, serving, lambda: bool(trainers.living))
        room = Room(root, machine, accelerators, partial(_give_way, evaluator, worker))
        queue = Queue(root, index, trainers, launcher, accelerators, room, slots)
        return cls(
            root=root,
            machine=machine,
            index=index,
            submission=Submission(root, index, adapter_names),
            repeated=Repeated(index),
            imports=imports,
            trainers=trainers,
            queue=queue,
            serving=serving,
            tokenizing=Tokenizing(root, serving, worker),
            lora_loading=LoraLoading(root, imports, serving),
            worker=worker,
            evaluator=evaluator,
            exporter=Exporter(root, ending),
            forecaster=Forecaster(root, accelerators, limits, room, ending),
            inspector=Inspector(root, ending),
            sparks=Sparks(),
            lookout=Lookout(root, index.revisions, queue, serving, worker),
            meter=meter,
            ending=ending,
            unload_after_s=unload_after_s,
        )

    @asynccontextmanager
    async def running(self) -> AsyncIterator[None]:
        """Watch the folders and work the queue for as long as the server lives. Trainers go on after it."""
        follow = Watch(self.root, self.index, self.queue.wake)
        works: dict[str, Callable[[], Coroutine[Any, Any, None]]] = {
            "Reading the folders": follow.read_and_sweep,
            "Following what comes and goes": follow.follow_parents,
            "Following what changes": follow.follow_restless,
            "Following the loaded adapter": partial(watch.follow_loaded, self.serving),
            "Evaluations": partial(self._evaluate, follow.all_is_read),
            "The job queue": partial(self._work_the_queue, follow.jobs_are_read),
            "Ending inference": self._end_inference,
        }
        if self.unload_after_s > 0:
            works["Unloading idle inference"] = self._unload_when_idle
        tasks = [asyncio.create_task(watch.keep_up(name, work)) for name, work in works.items()]
        try:
            with suppress(TimeoutError):
                async with asyncio.timeout(READ_FIRST_S):
                    await follow.all_is_read.wait()
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

    async def _end_inference(self) -> None:
        """As soon as the server is to end: the answers that are being written end, and nobody waits for them."""
        await self.ending.wait()
        await asyncio.shield(self.worker.close())  # the end of the service waits for it, too

    async def _evaluate(self, all_is_read: asyncio.Event) -> None:
        """Only when every evaluation is known: the oldest comes first."""
        await all_is_read.wait()
        await self.evaluator.run()

    async def _work_the_queue(self, jobs_are_read: asyncio.Event) -> None:
        """Only when every job is known: the oldest comes first, and trainers that live take up their slots."""
        await jobs_are_read.wait()
        await self.queue.run()


async def _give_way(evaluator: Evaluator, worker: Worker) -> None:
    await evaluator.make_way()
    await worker.rest(0.0)
