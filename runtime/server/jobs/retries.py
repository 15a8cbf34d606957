"""A trainer that is gone without having done its job: why, and whether the job is taken up again."""

import signal

from msgspec.structs import replace

from runtime.messages.training import CANCELLED, OUT_OF_MEMORY, PAUSED
from runtime.process.endings import explain
from runtime.server.jobs.transition import transition
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

    def next_status(status: Status) -> Status | None:
        has_ended = status.status in jobs.AT_REST
        if has_ended and not (status.status == "failed" and exit_code == OUT_OF_MEMORY and shared_memory):
            return None
        if status.status == "pending" and exit_code in (PAUSED, CANCELLED):
            return None  # it has ended as it was asked to, and somebody has resumed the job since
        deaths = _deaths(status, exit_code)
        if deaths < MAX_ATTEMPTS or folder.newest_checkpoint() > status.attempt_step:
            again = replace(status, status="pending", pid=None, attempt=deaths, completed_at=None)
            return replace(again, error_message=None, remedy=None)
        if has_ended:
            return None
        sentence = f"The trainer died {deaths} times without progress. {explain(exit_code)}"
        message = logs.explained(sentence, folder.log_file)
        return replace(status, status="failed", pid=None, completed_at=clock.now(), error_message=message)

    try:
        return transition(folder, next_status)
    except (locks.LockHeld, FileNotFoundError):
        return None


def _deaths(status: Status, exit_code: int | None) -> int:
    """Attempts without progress that ended in a death, with this one.

    A trainer that was asked to end (a machine that shuts down) has given its attempt back in status.json, also for a
    server that has not seen its end. Before it has declared itself running there is nothing to give back.
    """
    if status.status == "pending" and exit_code != -signal.SIGTERM:
        return status.attempt + 1
    return status.attempt
