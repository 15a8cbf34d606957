"""A user stops a job, pauses one, or resumes one."""

import asyncio
import logging
import signal
import time
from typing import Literal

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

Asked = Literal["cancelled", "paused"]

log = logging.getLogger(__name__)


async def stop(index: Index, trainers: Trainers, job_id: str) -> Status:
    """Cancel a waiting, running or paused job; returns when it is over.

    Raises NotFound, and ServiceError when the job had already ended.
    """
    return await _bring_to(index, trainers, job_id, "cancelled")


async def pause(index: Index, trainers: Trainers, job_id: str) -> Status:
    """Have a waiting or running job wait until it is resumed, in its place in the queue; returns when it does.

    Raises NotFound, and ServiceError when the job is paused already or has ended.
    """
    return await _bring_to(index, trainers, job_id, "paused")


async def _bring_to(index: Index, trainers: Trainers, job_id: str, how: Asked) -> Status:
    """Ask by the file, and wait until no trainer lives in the folder and status.json says so.

    A running trainer saves its last whole step; one that does not end is terminated, then killed. While it writes a
    checkpoint, or publishes its adapter, it is waited for, LONGEST_WRITING_S in all.
    """
    folder = index.job(job_id).folder
    await asyncio.to_thread(_ask, folder, how)
    waited = written = 0.0
    looked = time.monotonic()
    signals = [(TERMINATE_AFTER_S, signal.SIGTERM), (KILL_AFTER_S, signal.SIGKILL)]
    was_killed = False
    while (status := await asyncio.to_thread(rest_if_free, folder, how)) is None:
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
            why = "not even by a kill" if was_killed else "and which process it is cannot be told"
            raise ServiceError(f"Job {job_id} could not be stopped: its trainer does not end, {why}")
        await asyncio.sleep(POLL_S)
    await asyncio.to_thread(trainers.forget, job_id)
    await asyncio.to_thread(index.refresh_job, job_id)
    if status.status != how:
        _refuse(job_id, status, how)
    return status


def resume(index: Index, job_id: str) -> None:
    """Put a job back into the queue that is paused, cancelled or failed; its trainer goes on from the last checkpoint.

    A trainer that has written the job's end is waited for. Raises NotFound, and ServiceError when the job is nothing of
    that or its files cannot be read.
    """
    folder = index.job(job_id).folder

    def waiting(status: Status) -> Status:
        jobs.read_job(folder)
        if status.status not in {"paused", "cancelled", "failed"}:
            raise ServiceError(f"Job {job_id} cannot be resumed: it is {status.status}")
        folder.stop_file.unlink(missing_ok=True)
        folder.pause_file.unlink(missing_ok=True)
        return replace(status, status="pending", attempt=0, completed_at=None, error_message=None, remedy=None)

    try:
        transition(folder, waiting, jobs.patience_s(folder))
    except locks.LockHeld:
        raise ServiceError(f"Job {job_id} cannot be resumed: its trainer is still there") from None
    index.refresh_job(job_id)


def rest_if_free(folder: JobFolder, how: Asked) -> Status | None:
    """The status of a job that is to stop or to pause, once no trainer lives in its folder; None while one does."""
    try:
        written = end(folder, "cancelled") if how == "cancelled" else transition(folder, _paused)
        return written or jobs.read_status(folder)
    except locks.LockHeld:
        return None


def _is_writing(folder: JobFolder) -> bool:
    return folder.publishing.exists() or folders.is_any_half_made(folder.checkpoints)


def asked_of(folder: JobFolder) -> Asked | None:
    """What somebody asks of a job by a file in its folder."""
    if folder.stop_file.exists():
        return "cancelled"
    return "paused" if folder.pause_file.exists() else None


def _ask(folder: JobFolder, how: Asked) -> None:
    _refuse(folder.job_id, jobs.read_status(folder), how)
    (folder.stop_file if how == "cancelled" else folder.pause_file).touch()


def _paused(status: Status) -> Status | None:
    return None if status.status in jobs.AT_REST else replace(status, status="paused", pid=None)


def _refuse(job_id: str, status: Status, how: Asked) -> None:
    if status.status in jobs.FINISHED or status.status == how:
        raise ServiceError(f"Job {job_id} cannot be {how}: it is already {status.status}")
