"""How the server changes a job's status.json: in the place of a trainer, never beside one."""

from collections.abc import Callable

from msgspec.structs import replace

from state import clock, jobs, locks
from state.jobs import JobFolder, JobState, Status


def transition(folder: JobFolder, change: Callable[[Status], Status | None], timeout_s: float = 0) -> Status | None:
    """Replace status.json by what `change` makes of the newest one, durable when this returns; None: it stays.

    Returns what was written. Raises LockHeld when a trainer still lives in the folder after `timeout_s`, BrokenFile,
    and OSError where the folder cannot be written to.
    """
    with locks.hold(folder.trainer_lock, timeout_s):
        changed = change(jobs.read_status(folder))
        return None if changed is None else jobs.write_status(folder, changed)


def end(folder: JobFolder, how: JobState, error_message: str | None = None) -> Status | None:
    """Give a job its end; None where it has one already. Raises as `transition` does."""

    def ended(status: Status) -> Status | None:
        if status.status in jobs.FINISHED:
            return None
        return replace(status, status=how, pid=None, completed_at=clock.now(), error_message=error_message)

    return transition(folder, ended)
