"""Which ends of a trainer count as a death of its job."""

import signal
import subprocess
import sys
from pathlib import Path

import pytest

from runtime.messages.training import CANCELLED, FAILED, PAUSED, TERMINATED
from runtime.server.jobs import retries
from state import store
from state.jobs import JobFolder, Status
from tests import jobs
from tests.server import CHECKOUT, wait_until


def _end_by(folder: JobFolder, number: signal.Signals) -> int:
    """Launch a trainer, signal it while it imports torch, and have the next server find it gone; its exit code."""
    stuck = folder.path.parent.parent / "stuck"
    stuck.unlink(missing_ok=True)
    with jobs.launch(folder, "tests.stuck_trainer", "import of torch") as process:
        wait_until(stuck.exists, "the trainer imports torch")
        process.send_signal(number)
    assert retries.take_up_or_fail(folder, None, shared_memory=False) == jobs.status(folder)
    return process.returncode


def test_a_trainer_that_is_asked_to_end_has_not_died(tmp_path: Path) -> None:
    folder = jobs.make(tmp_path)

    for _ in range(retries.MAX_ATTEMPTS + 1):
        assert _end_by(folder, signal.SIGTERM) == TERMINATED

    assert (jobs.status(folder).status, jobs.status(folder).attempt) == ("pending", 0)


def test_deaths_before_and_after_a_shutdown_are_counted(tmp_path: Path) -> None:
    folder = jobs.make(tmp_path)
    states = []

    for number in (signal.SIGKILL, signal.SIGTERM, signal.SIGKILL, signal.SIGTERM, signal.SIGKILL):
        _end_by(folder, number)
        states.append(jobs.status(folder).status)

    assert states == ["pending"] * 4 + ["failed"]
    assert str(jobs.status(folder).error_message).startswith("The trainer died 3 times without progress.")


@pytest.mark.parametrize(("exit_code", "attempt"), [(-signal.SIGTERM, 1), (FAILED, 2), (-signal.SIGKILL, 2)])
def test_a_trainer_that_was_asked_to_end_before_it_had_begun_has_not_died(
    tmp_path: Path, exit_code: int, attempt: int
) -> None:
    folder = jobs.make(tmp_path)
    store.write(folder.status_file, Status(attempt=1))

    retries.take_up_or_fail(folder, exit_code, shared_memory=False)

    assert (jobs.status(folder).status, jobs.status(folder).attempt) == ("pending", attempt)


@pytest.mark.parametrize("exit_code", [PAUSED, CANCELLED])
def test_a_job_that_is_resumed_before_the_server_has_seen_its_trainers_end_has_no_death(
    tmp_path: Path, exit_code: int
) -> None:
    folder = jobs.make(tmp_path)
    store.write(folder.status_file, Status())

    assert retries.take_up_or_fail(folder, exit_code, shared_memory=False) is None
    assert jobs.status(folder) == Status()


def test_a_shutdown_while_a_trainer_declares_itself_running_is_no_death(tmp_path: Path) -> None:
    folder = jobs.make(tmp_path)
    program = """
import os, signal
from runtime.trainer.__main__ import main
from runtime.trainer.attempt import Attempt
begin = Attempt.begin
def begin_in_a_shutdown(attempt):
    begin(attempt)
    os.kill(os.getpid(), signal.SIGTERM)
Attempt.begin = begin_in_a_shutdown
main()
"""

    done = subprocess.run([sys.executable, "-c", program, folder.path], cwd=CHECKOUT, check=False)

    assert done.returncode == TERMINATED
    assert (jobs.status(folder).status, jobs.status(folder).attempt) == ("running", 0)
