"""The queue: waiting jobs are launched in the order of their creation while a device slot is free.

A job is running because its trainer holds `trainer.lock`, whoever launched it; so a server that was killed and
started again finds every trainer that lives and misses none that died. Each round looks at all unfinished jobs.
"""

import asyncio
import logging
from collections.abc import Iterator
from contextlib import contextmanager, suppress

from runtime.process.endings import explain
from runtime.server.entries import JobEntry
from runtime.server.index import Index
from runtime.server.jobs import control, places, retries
from runtime.server.jobs.accelerators import Accelerators
from runtime.server.jobs.backoff import Backoff
from runtime.server.jobs.launch import Launcher
from runtime.server.jobs.places import Place
from runtime.server.jobs.room import Room
from runtime.server.jobs.trainers import Ended, Trainers
from runtime.server.jobs.transition import end
from state import jobs, locks
from state.errors import BrokenFile, NotFound, ServiceError
from state.jobs import JobFolder
from state.root import DataRoot

ROUND_S = 0.5
QUIET_ROUND_S = 5.0  # while no job waits or runs; a change of the folders wakes the queue
ROUND = "round"
ROOM_TIMEOUT_S = 20.0  # inference that is asked to end and does not is killed after 5 s

log = logging.getLogger(__name__)


class Queue:
    """Says which job is next, and when it is tried again."""

    def __init__(  # noqa: PLR0913, PLR0917  its parts
        self,
        root: DataRoot,
        index: Index,
        trainers: Trainers,
        launcher: Launcher,
        accelerators: Accelerators,
        room: Room,
        slots: int,
    ) -> None:
        self._root = root
        self._index = index
        self._trainers = trainers
        self._launcher = launcher
        self._accelerators = accelerators
        self._room = room
        self.slots = slots
        self._backoff = Backoff()
        self._rounds = Backoff()
        self._wake = asyncio.Event()

    def wake(self) -> None:
        """Look at the jobs now rather than at the next round. Call it from the event loop."""
        self._wake.set()

    async def run(self) -> None:
        """Work until cancelled. A round that fails is logged, and tried again after a pause."""
        while True:
            await self._try_a_round()
            with suppress(TimeoutError):
                async with asyncio.timeout(ROUND_S if self._index.has_unfinished else QUIET_ROUND_S):
                    await self._wake.wait()
            self._wake.clear()

    def close(self) -> None:
        """Let no spare trainer wait any longer; trainers with a job go on."""
        self._launcher.close()

    def busy(self) -> int:
        """Device slots in use as of the last round: trainers that live, and those just launched."""
        return len(self._trainers.living)

    def obstacle(self, job_id: str) -> str | None:
        """Why a job that waits cannot be run, where its own folder cannot say so."""
        return self._backoff.reason(job_id)

    def places(self) -> dict[str, Place]:
        """Of each job that waits, the next one first, its place and what it waits for. It costs what they are."""
        return places.of(self._index.unfinished(), self._trainers.living, self.slots, self.obstacle)

    async def _try_a_round(self) -> None:
        if not self._rounds.may_try(ROUND):
            return
        try:
            await self._round()
        except Exception as error:  # noqa: BLE001  logged with its traceback
            self._rounds.failed(ROUND, f"A round of the job queue failed: {error}", error)
        else:
            self._rounds.forget(ROUND)

    async def _round(self) -> None:
        waiting = await asyncio.to_thread(self._look)
        for entry in waiting:
            if self.busy() >= self.slots:
                break
            if self._backoff.may_try(entry.job_id):
                await self._try_job(entry)
        has_waiting = any(entry.job_id not in self._trainers.living for entry in waiting)
        if self.slots > 0 and (has_waiting or self.busy() < self.slots):
            # for a job that comes next, not while one that is alone needs the cores
            await asyncio.to_thread(self._launcher.prepare)

    def _look(self) -> list[JobEntry]:
        """Take note of all that has ended; the jobs that have no trainer, the oldest first."""
        for ended in self._trainers.collect():
            with self._alone(ended.job_id), suppress(NotFound):
                self._after_end(jobs.find(self._root, ended.job_id), ended)
        unfinished = self._index.unfinished()
        self._trainers.look(unfinished)
        for entry in unfinished:
            if entry.status.status != "running":
                continue
            if entry.job_id in self._trainers.living:
                self._backoff.forget(entry.job_id)
            elif self._backoff.may_try(entry.job_id):
                with self._alone(entry.job_id):
                    self._after_end(entry.folder, None)
        self._backoff.keep({entry.job_id for entry in unfinished})
        return [entry for entry in unfinished if entry.job_id not in self._trainers.living]

    def _after_end(self, folder: JobFolder, ended: Ended | None) -> None:
        """Have the job of a trainer that is gone tried again, or ended, unless it has an end."""
        exit_code = ended.exit_code if ended else None
        try:
            status = retries.take_up_or_fail(folder, exit_code, shared_memory=ended is not None and self._shared(ended))
        except BrokenFile:
            status = None  # the index shows the broken file; the job goes on when it is mended
        if status is not None:
            log.warning("The trainer of job %s is gone. %s", folder.job_id, explain(exit_code))
        self._index.refresh_job(folder.job_id)

    def _shared(self, ended: Ended) -> bool:
        """Whether inference took, at any time, some of the accelerator's memory that a trainer planned with."""
        return self._accelerators.had_inference(ended.accelerator, ended.launched_s)

    async def _try_job(self, entry: JobEntry) -> None:
        with self._alone(entry.job_id):
            newest = await asyncio.to_thread(self._ready, entry.job_id)
            if newest is None:
                return
            if (asked := await asyncio.to_thread(control.asked_of, newest.folder)) is not None:
                await asyncio.to_thread(self._bring_to_rest, newest, asked)
            else:
                await self._launch(newest)

    @contextmanager
    def _alone(self, job_id: str) -> Iterator[None]:
        """Whatever is wrong with a job is its own problem: it is tried again later, and all others go on."""
        try:
            yield
        except (OSError, ServiceError) as error:  # a full disk, or a folder that belongs to somebody else
            self._backoff.failed(job_id, f"Job {job_id} cannot be worked on: {error}")
        except Exception as error:  # noqa: BLE001  nobody foresaw it; logged with its traceback
            self._backoff.failed(job_id, f"Job {job_id} cannot be worked on: {error}", error)

    def _ready(self, job_id: str) -> JobEntry | None:
        """A job by its files as they are now, if it waits, can be read and has no trainer."""
        entry = self._index.refresh_job(job_id)
        if entry is None or entry.status.status != "pending" or entry.problem is not None:
            return None
        return None if self._trainers.has(entry) else entry

    def _bring_to_rest(self, entry: JobEntry, how: control.Asked) -> None:
        control.rest_if_free(entry.folder, how)
        self._index.refresh_job(entry.job_id)

    async def _launch(self, entry: JobEntry) -> None:
        accelerator = self._accelerators.for_training(self._launcher.spare_accelerator)
        if self._accelerators.has_plan(accelerator):
            return  # the plan is made within a minute or so, and the next round looks again
        try:
            with self._accelerators.launching(accelerator):
                await self._make_room(entry, accelerator)
                await asyncio.to_thread(self._trainers.launch, entry.folder, accelerator)
        except OSError as error:
            reason = f"The trainer could not be launched: {error.strerror or error}"
            await asyncio.to_thread(self._fail, entry.folder, reason)

    async def _make_room(self, entry: JobEntry, accelerator: str | None) -> None:
        try:
            async with asyncio.timeout(ROOM_TIMEOUT_S):
                await self._room.make(entry.model_name, accelerator)
        except TimeoutError:
            log.warning("Inference does not give its memory back: job %s starts beside it", entry.job_id)

    def _fail(self, folder: JobFolder, reason: str) -> None:
        try:
            if end(folder, "failed", reason) is not None:
                log.warning("Job %s: %s", folder.job_id, reason)
        except locks.LockHeld:
            log.info("Job %s has a trainer by now", folder.job_id)
        self._index.refresh_job(folder.job_id)
