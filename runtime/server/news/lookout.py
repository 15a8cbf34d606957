"""Looks at what nobody tells of, while somebody watches: data sets, the loaded adapter, places in the queue, memory.

All streams share one: the more people watch, the less each costs.
"""

import asyncio
import time
from itertools import islice

import psutil
from msgspec import Struct

from runtime.process import memory
from runtime.server.answering.serving import Serving
from runtime.server.answering.worker import Worker
from runtime.server.jobs.places import Place
from runtime.server.jobs.queue import Queue
from runtime.server.revisions import Revisions
from state import stamps, training_data
from state.root import DataRoot

VITALS_S = 2.0
DATASETS_S = 2.0
SHARE = 20  # of the time at most a twentieth is spent on looking at data sets
PLACES = 50  # waiting jobs whose places are told as they change: each end of a job changes those of all behind it
MEMORY_STEP_MB = 64  # a smaller change of the free memory is none


class Vitals(Struct, frozen=True):
    """The machine at a glance. Memory is in 2^20 bytes; `requests_running` counts completions."""

    memory_free_mb: int
    memory_total_mb: int
    slots: int
    slots_busy: int
    inference_running: bool
    requests_running: int
    current_adapter: str | None


class Lookout:
    def __init__(self, root: DataRoot, revisions: Revisions, queue: Queue, serving: Serving, worker: Worker) -> None:
        self._root = root
        self._revisions = revisions
        self._queue = queue
        self._serving = serving
        self._worker = worker
        self._loaded: str | None = None
        self._places: dict[str, Place] = {}
        self._seen: tuple[int, int] | None = None
        self._datasets: dict[str, int] | None = None
        self._next_datasets_s = 0.0
        self._vitals: Vitals | None = None
        self._next_vitals_s = 0.0
        self.streams = 0
        """How many watch."""

    async def look(self) -> None:
        """Note what is other than before. It may be called as often as one likes."""
        self._note_adapters()
        self._note_places()
        if time.monotonic() >= self._next_datasets_s:
            began = time.monotonic()
            self._next_datasets_s = began + DATASETS_S  # others who come meanwhile do without
            self._note_datasets(await asyncio.to_thread(self._look_at_datasets))
            self._next_datasets_s += SHARE * (time.monotonic() - began)

    def vitals(self) -> Vitals:
        now = time.monotonic()
        if self._vitals is None or now >= self._next_vitals_s:
            self._next_vitals_s = now + VITALS_S
            free_mb = memory.free() // 2**20
            self._vitals = Vitals(
                memory_free_mb=free_mb - free_mb % MEMORY_STEP_MB,
                memory_total_mb=psutil.virtual_memory().total // 2**20,
                slots=self._queue.slots,
                slots_busy=self._queue.busy(),
                inference_running=self._worker.is_running,
                requests_running=self._worker.in_flight,
                current_adapter=self._serving.current_name,
            )
        return self._vitals

    def _note_adapters(self) -> None:
        before, self._loaded = self._loaded, self._serving.current_name
        if before != self._loaded:
            for name in (before, self._loaded):
                if name is not None:
                    self._revisions.note("adapters", name)

    def _note_places(self) -> None:
        seen = self._revisions.newest, self._queue.busy()
        if seen == self._seen:
            return
        self._seen = seen
        before, self._places = self._places, dict(islice(self._queue.places().items(), PLACES))
        for job_id, place in self._places.items():
            if before.get(job_id) != place:
                self._revisions.note("jobs", job_id)

    def _look_at_datasets(self) -> dict[str, int]:
        parent = self._root.training_data
        try:
            names = training_data.all_names(self._root)
        except OSError:  # the folder is gone, or may not be looked into: who asks for data sets hears it
            return {}
        return {name: stamps.of(str(parent / name), [".", "dataset.json"]) for name in names}

    def _note_datasets(self, found: dict[str, int]) -> None:
        before, self._datasets = self._datasets, found
        if before is not None:
            for name in before.keys() | found.keys():
                if before.get(name) != found.get(name):
                    self._revisions.note("data", name)
