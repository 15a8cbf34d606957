"""The spare trainer: it waits with its imports behind it, and every promise made for a cold trainer holds for it."""

import os
import signal
from collections.abc import Callable
from pathlib import Path

from runtime.process.machine import Machine
from state import jobs
from state.jobs import JobFolder
from tests.processes import is_alive, on_linux
from tests.server import Server, wait_until
from tests.standins import Rig

pytestmark = on_linux

CPU = Machine("cpu", "any")
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


def _waiting_spare(server: Server, *, but: int | None = None) -> int:
    """The pid of a spare that has come to its wait."""
    found: list[int] = []

    def waits() -> bool:
        found[:] = [pid for pid in _spares(server.process.pid) if pid != but and _waits(pid)]
        return bool(found)

    wait_until(waits, "a spare trainer waits")
    return found[0]


def _waits(pid: int) -> bool:
    """Whether it has its imports behind it: before them it reads other pipes."""
    try:
        return (
            "pipe_read" in Path(f"/proc/{pid}/wchan").read_text() and "torch" in Path(f"/proc/{pid}/maps").read_text()
        )
    except (FileNotFoundError, ProcessLookupError):
        return False


def test_a_trainer_that_was_the_spare_outlives_its_server_and_the_next_one_adopts_it(
    start_server: Callable[..., Server],
) -> None:
    """Torch starts its threads with its first operation; numpy, which would at its import, is told not to."""
    options = ["--spare-trainer", "--slots", "2", "--memory-mb", "99999"]
    server = start_server(*options, environment={"OPENBLAS_NUM_THREADS": "1"})
    spare = _waiting_spare(server)
    assert b"\0LATHE_MEMORY_MB=99999\0" in Path(f"/proc/{spare}/environ").read_bytes()
    assert len(list(Path(f"/proc/{spare}/task").iterdir())) == 1, "a spare that waits has computed nothing"
    job_id = server.start(training_config={"max_steps": 100_000, "save_steps": 10, "logging_steps": 1})
    wait_until(lambda: server.status(job_id)["current_step"] > 1, "it trains")
    folder = JobFolder(server.job_folder(job_id))
    assert jobs.read_status(folder).pid == spare
    os.kill(spare, signal.SIGSTOP)  # it need not compute meanwhile
    next_spare = _waiting_spare(server, but=spare)

    server.kill()
    os.kill(spare, signal.SIGCONT)
    next_server = start_server()
    waiting = next_server.start()

    wait_until(lambda: not is_alive(next_spare), "the spare that waited has gone")
    assert (next_server.status(job_id)["status"], next_server.trainer(job_id)) == ("running", spare)
    assert next_server.status(waiting)["status"] == "pending"
    assert next_server.post(f"/training/stop/{job_id}").status_code == 200
    ended = jobs.read_status(folder)
    assert (ended.status, ended.attempt) == ("cancelled", 1)
    assert "Cancelled" in folder.log_file.read_text()
    next_server.wait_for(waiting, "running", "completed")


def test_another_spare_waits_when_a_job_has_taken_the_one_before_and_ends_with_the_queue(
    rig: Callable[..., Rig],
) -> None:
    server = rig(CPU, spare=True)
    waited: list[int] = []

    async def scenario() -> None:
        await server.until(lambda: server.launcher._spare, "a spare waits")
        folder = server.add()
        given = await server.given(folder)
        assert given["spare"]
        await server.finish(folder)

        await server.until(lambda: server.launcher._spare, "another one waits")
        waited.append(_pid_of_spare(server))
        assert waited[0] != given["pid"]

    server.run(scenario)
    assert not is_alive(waited[0])


def test_a_killed_spare_costs_no_job_and_none_of_its_attempts(rig: Callable[..., Rig]) -> None:
    server = rig(CPU, spare=True)

    async def scenario() -> None:
        await server.until(lambda: server.launcher._spare, "a spare waits")
        killed = _pid_of_spare(server)

        os.kill(killed, signal.SIGKILL)
        wait_until(lambda: not is_alive(killed), "it is dead")  # while the queue's task stands still, too

        folder = server.add()
        assert (await server.given(folder))["pid"] != killed
        assert jobs.read_status(folder).attempt == 1  # no death of the job's

    server.run(scenario)


def _pid_of_spare(server: Rig) -> int:
    assert server.launcher._spare is not None
    return server.launcher._spare.process.pid
