"""A trainer that is gone without an end in status.json: why, and whether its job is taken up again."""

import signal

from state import clock, jobs, locks, logs
from state.jobs import JobFolder, Status

MAX_ATTEMPTS = 3

_MEANINGS = {
    signal.SIGKILL: "killed from outside; with little memory left this is the system's out-of-memory killer",
    signal.SIGTERM: "asked to end, for example by a machine that shuts down",
    signal.SIGSEGV: "a crash in native code",
    signal.SIGBUS: "a memory or disk error, for example a full disk under a mapped file",
    signal.SIGABRT: "a library gave up, see the log",
    signal.SIGILL: "this processor lacks an instruction that a library uses",
}


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
            if attempts < MAX_ATTEMPTS or newest_checkpoint(folder) > status.attempt_step:
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


def explain(exit_code: int | None) -> str:
    """One sentence about how a process ended, from its exit code; negative ones are signals."""
    if exit_code is None:
        return "How it ended is not known: it was not started by this server."
    if exit_code >= 0:
        return f"It ended with exit code {exit_code}."
    try:
        name = signal.Signals(-exit_code)
    except ValueError:
        return f"It was ended by signal {-exit_code}."
    meaning = _MEANINGS.get(name)
    return f"It was ended by signal {-exit_code} ({name.name}{': ' + meaning if meaning else ''})."


def newest_checkpoint(folder: JobFolder) -> int:
    """The step of the newest checkpoint; 0 without one."""
    return max(folder.checkpoint_steps(), default=0)
