"""The queue: waiting jobs are launched in the order of their creation while a device slot is free.

A job is running because its trainer holds `trainer.lock`, whoever launched it; so a server that was killed and
started again finds every trainer that lives and misses none that died. Each round looks at all unfinished jobs.
"""

import asyncio
import logging
import os
import signal
import subprocess
import time
from collections.abc import Callable, Coroutine
from contextlib import suppress
from typing import Any

from runtime.process.machine import Machine
from runtime.server.index import Index, JobEntry
from runtime.server.jobs import deaths, room
from runtime.server.jobs.launch import Launcher
from runtime.server.processes import explain
from state import clock, jobs, locks
from state.errors import BrokenFile, NotFound, ServiceError
from state.jobs import JobFolder, Status
from state.root import DataRoot

ROUND_S = 0.5
TERMINATE_AFTER_S = 10.0
KILL_AFTER_S = 15.0
GIVE_UP_AFTER_S = 20.0

log = logging.getLogger(__name__)


class Queue:
    """Launches, watches and stops the trainers of one data root."""

    def __init__(  # noqa: PLR0913, PLR0917  its parts
        self,
        root: DataRoot,
        index: Index,
        machine: Machine,
        launcher: Launcher,
        slots: int,
        make_room: Callable[[], Coroutine[Any, Any, None]],
    ) -> None:
        """`make_room` has idle inference give its memory back."""
        self._root = root
        self._index = index
        self._machine = machine
        self._launcher = launcher
        self.slots = slots
        self._make_room = make_room
        self._children: dict[str, subprocess.Popen[bytes]] = {}
        self._accelerators: dict[str, str] = {}
        self._complaints: set[str] = set()
        self._wake = asyncio.Event()

    def wake(self) -> None:
        """Look at the jobs now rather than at the next round. Call it from the event loop."""
        self._wake.set()

    async def run(self) -> None:
        """Work until cancelled. A round that fails is logged, and the next one tries again."""
        self._loop = asyncio.get_running_loop()
        while True:
            try:
                await asyncio.to_thread(self._round)
            except Exception:
                log.exception("A round of the job queue failed")
            with suppress(TimeoutError):
                await asyncio.wait_for(self._wake.wait(), ROUND_S)
            self._wake.clear()

    def close(self) -> None:
        """Let no spare trainer wait any longer; trainers with a job go on."""
        self._launcher.close()

    def busy(self) -> int:
        """Device slots in use: trainers that live, and those just launched."""
        return sum(self._occupies(entry) for entry in self._index.jobs())

    async def stop(self, job_id: str) -> Status:
        """Cancel a waiting or running job; returns when it is over.

        A running trainer finishes its step and writes a checkpoint; one that does not end is terminated, then killed.
        Raises NotFound, and ServiceError when the job had already ended.
        """
        folder = self._index.job(job_id).folder
        _refuse_ended(job_id, jobs.read_status(folder))
        folder.stop_file.touch()
        started = time.monotonic()
        signals = [(TERMINATE_AFTER_S, signal.SIGTERM), (KILL_AFTER_S, signal.SIGKILL)]
        while (status := _end_if_free(folder)) is None:
            waited = time.monotonic() - started
            if signals and waited > signals[0][0]:
                _send(folder, signals.pop(0)[1])
            if waited > GIVE_UP_AFTER_S:
                raise ServiceError(f"Job {job_id} could not be stopped: its trainer does not end, not even by a kill")
            await asyncio.sleep(0.02)
        self._index.refresh_job(job_id)
        if status.status != "cancelled":
            _refuse_ended(job_id, status)
        return status

    def resume(self, job_id: str) -> None:
        """Put a cancelled or failed job back into the queue; its trainer goes on from the last checkpoint.

        Raises NotFound, and ServiceError when the job has not ended so or its files cannot be read.
        """
        folder = self._index.job(job_id).folder
        try:
            with locks.hold(folder.trainer_lock, timeout_s=0):
                jobs.read_job(folder)
                status = jobs.read_status(folder).status
                if status not in ("cancelled", "failed"):
                    raise ServiceError(f"Job {job_id} cannot be resumed: it is {status}")
                folder.stop_file.unlink(missing_ok=True)
                jobs.write_status(folder, status="pending", attempt=0, completed_at=None, error_message=None)
        except locks.LockHeld:
            raise ServiceError(f"Job {job_id} cannot be resumed: its trainer is still there") from None
        self._index.refresh_job(job_id)

    def _round(self) -> None:
        self._reap()
        unfinished = [entry for entry in self._index.jobs() if entry.status.status not in jobs.FINISHED]
        occupying = {entry.job_id for entry in unfinished if self._occupies(entry)}
        for entry in unfinished:
            if entry.status.status == "running" and entry.job_id not in occupying:
                self._after_death(entry.folder, exit_code=None)
        free, waiting = self.slots - len(occupying), len(unfinished) - len(occupying)
        for entry in unfinished:
            if free > 0 and self._is_ready(entry):
                self._launch(entry)
                free, waiting = free - 1, waiting - 1
        if self.slots > 0 and (free > 0 or waiting > 0):
            self._launcher.prepare()  # for a job that comes next, not while one that is alone needs the cores

    def _reap(self) -> None:
        """Collect the trainers of this server that have ended."""
        for job_id, child in list(self._children.items()):
            exit_code = child.poll()
            if exit_code is not None:
                del self._children[job_id]
                self._accelerators.pop(job_id, None)
                with suppress(NotFound):
                    self._after_death(jobs.find(self._root, job_id), exit_code)

    def _after_death(self, folder: JobFolder, exit_code: int | None) -> None:
        try:
            status = deaths.take_up_or_fail(folder, exit_code)
        except BrokenFile:
            status = None  # the index shows the broken file; the job goes on when it is mended
        except OSError as error:
            status = None  # a full disk, for one: the next round tries again
            self._complain(f"Job {folder.job_id} cannot be written to: {error}")
        if status is not None:
            log.warning("The trainer of job %s is gone. %s", folder.job_id, explain(exit_code))
        self._index.refresh_job(folder.job_id)

    def _complain(self, sentence: str) -> None:
        """Log what each round would find again, once."""
        if sentence not in self._complaints:
            self._complaints.add(sentence)
            log.warning("%s", sentence)

    def _is_ready(self, entry: JobEntry) -> bool:
        """Whether the job may start now, by its files as they are at this moment."""
        self._index.refresh_job(entry.job_id)
        try:
            newest = self._index.job(entry.job_id)
        except NotFound:
            return False
        if newest.status.status != "pending" or newest.problem is not None or self._occupies(newest):
            return False
        if newest.folder.stop_file.exists():
            _end_if_free(newest.folder)
            self._index.refresh_job(entry.job_id)
            return False
        return True

    def _occupies(self, entry: JobEntry) -> bool:
        if entry.status.status in jobs.FINISHED:
            return False
        child = self._children.get(entry.job_id)
        return (child is not None and child.poll() is None) or entry.folder.is_training()

    def _launch(self, entry: JobEntry) -> None:
        if room.is_needed(self._root, self._machine, entry):
            asyncio.run_coroutine_threadsafe(self._make_room(), self._loop).result()
        try:
            self._children[entry.job_id] = self._launcher.launch(entry.folder, self._free_accelerator(entry.job_id))
        except OSError as error:
            log.warning("Job %s could not be launched: %s", entry.job_id, error)
            with suppress(locks.LockHeld, OSError), locks.hold(entry.folder.trainer_lock, timeout_s=0):
                jobs.write_status(
                    entry.folder,
                    status="failed",
                    completed_at=clock.now(),
                    error_message=f"The trainer could not be launched: {error.strerror or error}",
                )
            self._index.refresh_job(entry.job_id)

    def _free_accelerator(self, job_id: str) -> str | None:
        """With several accelerators, one that no launched trainer uses; None leaves the choice to torch."""
        if len(self._machine.accelerators) < 2:
            return None
        taken = set(self._accelerators.values())
        free = [index for index in self._machine.accelerators if index not in taken]
        self._accelerators[job_id] = (free or list(self._machine.accelerators))[0]
        return self._accelerators[job_id]


def _refuse_ended(job_id: str, status: Status) -> None:
    if status.status in jobs.FINISHED:
        raise ServiceError(f"Job {job_id} cannot be cancelled: it is already {status.status}")


def _end_if_free(folder: JobFolder) -> Status | None:
    """The job's final status, once no trainer lives in its folder; None while one does."""
    try:
        with locks.hold(folder.trainer_lock, timeout_s=0):
            status = jobs.read_status(folder)
            if status.status in jobs.FINISHED:
                return status
            return jobs.write_status(folder, status="cancelled", pid=None, completed_at=clock.now())
    except locks.LockHeld:
        return None


def _send(folder: JobFolder, number: signal.Signals) -> None:
    """Signal the trainer that holds the folder's lock; its pid is true while the lock is held."""
    pid = jobs.read_status(folder).pid
    if pid is not None and folder.is_training():
        log.warning("The trainer of job %s does not end: sending %s", folder.job_id, number.name)
        with suppress(ProcessLookupError):
            os.kill(pid, number)
