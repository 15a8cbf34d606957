"""A trainer that is gone without having done its job: why, and whether the job is taken up again."""

from msgspec.structs import replace

from runtime.messages.training import OUT_OF_MEMORY
from runtime.server.processes import explain
from state import clock, jobs, locks, logs
from state.jobs import JobFolder, Status

MAX_ATTEMPTS = 3


def take_up_or_fail(folder: JobFolder, exit_code: int | None, *, shared_memory: bool) -> Status | None:
    """Put the job of a dead trainer back into the queue, or end it as failed after too many deaths without progress.

    `exit_code` is None when the trainer was not this server's child. With `shared_memory`, inference took some of what
    the trainer had planned with: that it ran out of memory then counts as a death, and the next attempt plans with what
    is free by then. Returns None when nothing was to be done: the job has ended, or a trainer lives in its folder after
    all.
    """
    try:
        with locks.hold(folder.trainer_lock, timeout_s=0):
            status = jobs.read_status(folder)
            has_ended = status.status in jobs.FINISHED
            if has_ended and not (shared_memory and _ran_out_of_memory(status)):
                return None
            attempts = status.attempt + 1 if status.status == "pending" else max(status.attempt, 1)
            if attempts < MAX_ATTEMPTS or folder.newest_checkpoint() > status.attempt_step:
                waiting = replace(
                    status, status="pending", pid=None, attempt=attempts, completed_at=None, error_message=None
                )
                return jobs.write_status(folder, waiting)
            if has_ended:
                return None
            sentence = f"The trainer died {attempts} times without progress. {explain(exit_code)}"
            failed = replace(
                status,
                status="failed",
                pid=None,
                completed_at=clock.now(),
                error_message=logs.explained(sentence, folder.log_file),
            )
            return jobs.write_status(folder, failed)
    except (locks.LockHeld, FileNotFoundError):
        return None


def _ran_out_of_memory(status: Status) -> bool:
    return status.status == "failed" and (status.error_message or "").startswith(OUT_OF_MEMORY)
