"""A user stops a job, or resumes one."""

import asyncio
import logging
import signal
import time

from msgspec.structs import replace

from runtime.server.index import Index
from runtime.server.jobs.trainers import Trainers
from runtime.server.jobs.transition import end, transition
from state import folders, jobs, locks
from state.errors import ServiceError
from state.jobs import JobFolder, Status

TERMINATE_AFTER_S = 10.0
KILL_AFTER_S = 15.0
GIVE_UP_AFTER_S = 20.0
LONGEST_WRITING_S = 300.0  # a 7B model's checkpoint at rank 64 has 2 GB, and all of it is flushed to the disk
POLL_S = 0.02

log = logging.getLogger(__name__)


async def stop(index: Index, trainers: Trainers, job_id: str) -> Status:
    """Cancel a waiting or running job; returns when it is over.

    A running trainer saves its last whole step; one that does not end is terminated, then killed. While it writes a
    checkpoint, or publishes its adapter, it is waited for, LONGEST_WRITING_S in all.
    Raises NotFound, and ServiceError when the job had already ended.
    """
    folder = index.job(job_id).folder
    await asyncio.to_thread(_ask_to_stop, folder)
    waited = written = 0.0
    looked = time.monotonic()
    signals = [(TERMINATE_AFTER_S, signal.SIGTERM), (KILL_AFTER_S, signal.SIGKILL)]
    was_killed = False
    while (status := await asyncio.to_thread(end_if_free, folder)) is None:
        now = time.monotonic()
        passed, looked = now - looked, now
        if written < LONGEST_WRITING_S and await asyncio.to_thread(_is_writing, folder):
            written += passed
        else:
            waited += passed
        if signals and waited > signals[0][0]:
            _, number = signals.pop(0)
            log.warning("The trainer of job %s does not end: sending %s", job_id, number.name)
            was_killed = await asyncio.to_thread(trainers.signal, folder, number) and number == signal.SIGKILL
        if waited > GIVE_UP_AFTER_S:
            how = "not even by a kill" if was_killed else "and which process it is cannot be told"
            raise ServiceError(f"Job {job_id} could not be stopped: its trainer does not end, {how}")
        await asyncio.sleep(POLL_S)
    trainers.forget(job_id)
    await asyncio.to_thread(index.refresh_job, job_id)
    if status.status != "cancelled":
        _refuse_ended(job_id, status)
    return status


def resume(index: Index, job_id: str) -> None:
    """Put a cancelled or failed job back into the queue; its trainer goes on from the last checkpoint.

    Raises NotFound, and ServiceError when the job has not ended so or its files cannot be read.
    """
    folder = index.job(job_id).folder

    def waiting(status: Status) -> Status:
        jobs.read_job(folder)
        if status.status not in ("cancelled", "failed"):
            raise ServiceError(f"Job {job_id} cannot be resumed: it is {status.status}")
        folder.stop_file.unlink(missing_ok=True)
        return replace(status, status="pending", attempt=0, completed_at=None, error_message=None)

    try:
        transition(folder, waiting)
    except locks.LockHeld:
        raise ServiceError(f"Job {job_id} cannot be resumed: its trainer is still there") from None
    index.refresh_job(job_id)


def end_if_free(folder: JobFolder) -> Status | None:
    """The final status of a job that is to stop, once no trainer lives in its folder; None while one does."""
    try:
        return end(folder, "cancelled") or jobs.read_status(folder)
    except locks.LockHeld:
        return None


def _is_writing(folder: JobFolder) -> bool:
    return folder.publishing.exists() or folders.is_any_half_made(folder.checkpoints)


def _ask_to_stop(folder: JobFolder) -> None:
    _refuse_ended(folder.job_id, jobs.read_status(folder))
    folder.stop_file.touch()


def _refuse_ended(job_id: str, status: Status) -> None:
    if status.status in jobs.FINISHED:
        raise ServiceError(f"Job {job_id} cannot be cancelled: it is already {status.status}")
