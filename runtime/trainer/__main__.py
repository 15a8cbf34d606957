"""`python -m runtime.trainer JOB_DIR`: take the job's folder, train, and end with the job's end.

Exit code 0 completed, 1 failed, 3 failed for lack of memory, 4 paused, 130 cancelled, 143 terminated (the job goes on
when it is started again). Everything that can be refused is refused before torch is imported.
"""

import argparse
import logging
import sys
import traceback
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import NoReturn

from runtime.messages.training import CANCELLED, COMPLETED, FAILED, OUT_OF_MEMORY, PAUSED, TERMINATED
from runtime.model import libraries
from runtime.model.failures import DoesNotFit, is_out_of_memory
from runtime.process import cpu
from runtime.process.exit import leave
from runtime.trainer.attempt import Attempt
from runtime.trainer.console import log_to_console_and_file
from runtime.trainer.interruption import Cancelled, Interruption, Paused, Removed, Terminated
from state import folders, jobs, locks, logs
from state.errors import BrokenFile, ServiceError
from state.jobs import JobFolder, Remedy
from state.root import DataRoot

LOCK_WAIT_S = 2.0  # the server holds the lock for an instant when it looks whether a trainer lives

log = logging.getLogger("trainer")


def main() -> NoReturn:
    cpu.prepare()
    parser = argparse.ArgumentParser(prog="python -m runtime.trainer", description="Train one job.")
    parser.add_argument("job_dir", type=Path, help="a job's folder: training_jobs/job_<id>")
    leave(run(parser.parse_args().job_dir.resolve()))


def run(path: Path) -> int:
    """Own the job's folder and train in it; the exit code."""
    folder = JobFolder(path)
    if not folder.job_file.exists():
        print(f"{path} is not a job's folder: it has no job.json", file=sys.stderr)  # noqa: T201  nobody logs yet
        return FAILED
    if path.parent.name != "training_jobs":
        print(f"{path} must lie in the training_jobs/ of a data root, beside its adapters/", file=sys.stderr)  # noqa: T201
        return FAILED
    try:
        with locks.hold(folder.trainer_lock, LOCK_WAIT_S):
            return _own(DataRoot.at(path.parent.parent), folder)
    except OSError as error:
        print(f"{path} cannot be worked in: {error}", file=sys.stderr)  # noqa: T201
        return FAILED
    except locks.LockHeld:
        print(f"Another trainer works in {path.name}: this one leaves it alone", file=sys.stderr)  # noqa: T201
        return FAILED


def _own(root: DataRoot, folder: JobFolder) -> int:
    """The run, by the process that owns the folder."""
    log_to_console_and_file(folder.log_file)
    root.adapters.mkdir(exist_ok=True)  # a server makes it; by hand, a job's folder may be all that there is
    try:
        jobs.read_job(folder)
        attempt = Attempt(folder)
    except BrokenFile as error:
        log.error("%s", error)  # noqa: TRY400  the sentence says it all
        return FAILED  # nothing has begun: the job starts when the file is mended
    if attempt.status.status == "completed":
        log.info("Job %s is completed: its adapter is %s", folder.job_id, folder.adapter)
        return COMPLETED
    return _outcome(attempt, partial(_train, root, attempt))


def _train(root: DataRoot, attempt: Attempt) -> None:
    interruption = Interruption(attempt.folder)
    interruption.check()
    try:
        with interruption.deferred():  # what comes before the attempt has begun waits for it, and then ends it
            interruption.watch(partial(_end_by, attempt))
            attempt.begin()
        libraries.load()
        from runtime.trainer.recipe import train  # noqa: PLC0415  imports torch, which takes seconds

        train(root, attempt, interruption)
    finally:
        interruption.preclude()


def _end_by(attempt: Attempt, interrupt: Callable[[], None]) -> None:
    """End the process by an interruption, whatever the main thread is at."""
    exit_code = FAILED
    try:
        exit_code = _outcome(attempt, interrupt)
    except Exception:
        log.exception("The job's end could not be written")
    finally:
        leave(exit_code)


def _outcome(attempt: Attempt, work: Callable[[], None]) -> int:
    """Do what there is to do, and write how it ended; its exit code."""
    try:
        work()
    except Exception as reason:  # noqa: BLE001  whatever ends a run is told in the job's folder
        return _end(attempt, reason)
    return COMPLETED


def _end(attempt: Attempt, reason: Exception) -> int:
    """Write how an attempt ended that did not complete; its exit code."""
    if isinstance(reason, Removed) or not attempt.folder.job_file.exists():
        log.error("The job's folder was removed or renamed while it was trained: nothing more is written in it")
        return FAILED
    match reason:
        case Cancelled():
            log.info("Cancelled: %s", reason)
            attempt.end("cancelled")
            folders.sweep(attempt.folder.tokens)  # half-made tokens take gigabytes, and the job may never go on
            return CANCELLED
        case Paused():
            log.info("Paused: %s", reason)
            attempt.pause()
            return PAUSED
        case Terminated():
            log.info("Terminated: the job goes on from its last checkpoint when it is started again")
            attempt.give_back()
            return TERMINATED
        case _:
            _fail(attempt, reason)
            return OUT_OF_MEMORY if is_out_of_memory(reason) else FAILED


def _fail(attempt: Attempt, error: Exception) -> None:
    reason = explain(error)
    if not isinstance(error, ServiceError):
        log.error("%s", "".join(traceback.format_exception(error)))
    log.error("Failed: %s", reason)
    attempt.end("failed", logs.explained(reason, attempt.folder.log_file), _remedy(error, attempt.longest))


def explain(error: Exception) -> str:
    """What ended the run, in one sentence, with what to change where that is known."""
    if isinstance(error, ServiceError):
        return str(error)
    if is_out_of_memory(error):
        return (
            "Out of memory: resume the job, which then plans with what is free, or start it again with a lower "
            "training_config.max_seq_length"
        )
    if (isinstance(error, OSError) and error.errno in jobs.DISK_FULL) or "No space left on device" in str(error):
        return "The disk is full: free some space, then resume the job; it goes on from its last checkpoint"
    if isinstance(error, OSError) and error.strerror:
        return f"{error.strerror}: {error.filename}" if error.filename else error.strerror
    return f"{type(error).__name__}: {error}"


def _remedy(error: Exception, longest: int | None) -> Remedy | None:
    """What to change after a run that had too little memory, where `longest` is the tokens of its longest document."""
    if isinstance(error, DoesNotFit):
        return jobs.shorter(error.max_seq_length)
    return jobs.shorter(longest // 2) if longest is not None and is_out_of_memory(error) else None


if __name__ == "__main__":
    main()
