"""The spare trainer: it waits with its imports behind it, and every promise made for a cold trainer holds for it."""

import os
import signal
from collections.abc import Callable
from pathlib import Path

from state import jobs as state_jobs
from tests.processes import is_alive, on_linux
from tests.server import Server, wait_until

pytestmark = on_linux

SPARE = "runtime.trainer.spare"


def _spares(of: int) -> list[int]:
    """The spare trainers that a process has started and nothing has ended."""
    found = []
    for entry in Path("/proc").glob("[0-9]*"):
        try:
            parent = int((entry / "stat").read_text().rsplit(")", 1)[1].split()[1])
            command = (entry / "cmdline").read_text()
        except (FileNotFoundError, ProcessLookupError):
            continue
        if parent == of and SPARE in command:
            found.append(int(entry.name))
    return found


def _waiting_spare(server: Server) -> int:
    """The pid of a spare that has come to its wait."""

    def waits() -> bool:
        return any("pipe_read" in _blocked_in(pid) for pid in _spares(server.process.pid))

    wait_until(waits, "a spare trainer waits", timeout_s=60)
    return _spares(server.process.pid)[0]


def _blocked_in(pid: int) -> str:
    try:
        return Path(f"/proc/{pid}/wchan").read_text()
    except FileNotFoundError:
        return ""


def test_a_job_is_trained_by_the_spare_and_another_one_waits_when_it_has_ended(
    start_server: Callable[..., Server],
) -> None:
    server = start_server("--spare-trainer")
    spare = _waiting_spare(server)

    job_id = server.start(training_config={"max_steps": 2})
    done = server.wait_for(job_id, "completed")

    folder = server.job_folder(job_id)
    assert done["current_step"] == 2
    assert "Completed" in (folder / "train.log").read_text()
    assert _waiting_spare(server) != spare


def test_a_spare_that_waits_has_computed_nothing(start_server: Callable[..., Server]) -> None:
    """Torch starts its threads with its first operation; numpy, which would at its import, is told not to."""
    server = start_server("--spare-trainer", environment={"OPENBLAS_NUM_THREADS": "1"})
    spare = _waiting_spare(server)

    assert len(list(Path(f"/proc/{spare}/task").iterdir())) == 1


def test_a_trainer_that_was_a_spare_outlives_its_server(start_server: Callable[..., Server]) -> None:
    server = start_server("--spare-trainer")
    spare = _waiting_spare(server)
    job_id = server.start(training_config={"max_steps": 60, "save_steps": 10, "logging_steps": 1})
    server.wait_for(job_id, "running")
    wait_until(lambda: server.status(job_id)["current_step"] > 1, "it trains", timeout_s=60)
    assert state_jobs.read_status(state_jobs.JobFolder(server.job_folder(job_id))).pid == spare

    server.kill()
    next_server = start_server()

    assert next_server.wait_for(job_id, "completed")["current_step"] == 60
    assert state_jobs.read_status(state_jobs.JobFolder(next_server.job_folder(job_id))).attempt == 1


def test_a_waiting_spare_goes_with_its_server(start_server: Callable[..., Server]) -> None:
    for end in (Server.kill, Server.close):
        server = start_server("--spare-trainer")
        spare = _waiting_spare(server)

        end(server)

        wait_until(lambda pid=spare: not is_alive(pid), "the spare has gone", timeout_s=60)  # type: ignore[misc]


def test_a_killed_spare_costs_no_job(start_server: Callable[..., Server]) -> None:
    server = start_server("--spare-trainer")
    os.kill(_waiting_spare(server), signal.SIGKILL)

    job_id = server.start(training_config={"max_steps": 1})

    assert server.wait_for(job_id, "completed")["error_message"] is None
