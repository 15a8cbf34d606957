"""A trainer that is gone without an end in status.json: why, and whether its job is taken up again."""

from runtime.server.processes import explain
from state import clock, jobs, locks, logs
from state.jobs import JobFolder, Status

MAX_ATTEMPTS = 3


def take_up_or_fail(folder: JobFolder, exit_code: int | None) -> Status | None:
    """Put the job of a dead trainer back into the queue, or end it as failed after too many deaths without progress.

    `exit_code` is None when the trainer was not this server's child. Returns None when nothing was to be done: the
    job has ended, or a trainer lives in its folder after all.
    """
    try:
        with locks.hold(folder.trainer_lock, timeout_s=0):
            status = jobs.read_status(folder)
            if status.status in jobs.FINISHED:
                return None
            attempts = max(status.attempt, 1) if status.status == "running" else status.attempt + 1
            if attempts < MAX_ATTEMPTS or folder.newest_checkpoint() > status.attempt_step:
                return jobs.write_status(folder, status="pending", pid=None, attempt=attempts)
            sentence = f"The trainer died {attempts} times without progress. {explain(exit_code)}"
            return jobs.write_status(
                folder,
                status="failed",
                pid=None,
                completed_at=clock.now(),
                error_message=logs.explained(sentence, folder.log_file),
            )
    except (locks.LockHeld, FileNotFoundError):
        return None
