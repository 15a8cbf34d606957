"""Stopping a job: its trainer is asked, then terminated, then killed; and no other process ever is."""

import asyncio
import os
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator

import pytest

from runtime.process.machine import Machine
from runtime.server.index import Index
from runtime.server.jobs import control
from runtime.server.jobs.trainers import pid_of_trainer
from state import folders, jobs, locks, store
from state.errors import ServiceError
from state.jobs import JobFolder, Status
from tests.processes import is_alive, on_linux
from tests.standins import Rig

CPU = Machine("cpu", "any")

Rigs = Callable[..., Rig]


@pytest.fixture(autouse=True)
def hurried(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(control, "TERMINATE_AFTER_S", 0.1)
    monkeypatch.setattr(control, "KILL_AFTER_S", 0.2)
    monkeypatch.setattr(control, "GIVE_UP_AFTER_S", 1e9)


class _Clock:
    def __init__(self) -> None:
        self.now_s = 0.0
        self.times_asked = 0

    def monotonic(self) -> float:
        self.times_asked += 1
        return self.now_s


class _Waiting(_Clock):
    """Each pause takes a second of this clock, and something happens meanwhile."""

    def __init__(self, meanwhile: Callable[[], object] = lambda: None) -> None:
        super().__init__()
        self._meanwhile = meanwhile

    def sleep(self, _: float) -> None:
        self.now_s += 1
        self._meanwhile()


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> _Clock:
    clock = _Clock()
    monkeypatch.setattr(control, "time", clock)
    return clock


@pytest.fixture
def bystander() -> Iterator[subprocess.Popen[bytes]]:
    """A process that is no trainer, and has a number that a dead trainer had."""
    with subprocess.Popen([sys.executable, "-c", "import sys; sys.stdin.read()"], stdin=subprocess.PIPE) as process:
        yield process
        process.kill()


@on_linux
def test_a_trainer_that_ignores_a_termination_is_killed(rig: Rigs, caplog: pytest.LogCaptureFixture) -> None:
    server = rig(CPU)

    async def scenario() -> None:
        folder = server.add("deaf")
        pid = int((await server.given(folder))["pid"])

        ended = await control.stop(server.index, server.trainers, folder.job_id)

        assert (ended.status, ended.pid) == ("cancelled", None)
        await server.until(lambda: not is_alive(pid), "the trainer is gone")  # its lock is free a moment before
        await server.until(lambda: server.queue.busy() == 0, "no round that saw it there is under way")

    server.run(scenario)
    sent = [record.message.rsplit(maxsplit=1)[-1] for record in caplog.records if "does not end" in record.message]
    assert sent == ["SIGTERM", "SIGKILL"]


@pytest.mark.parametrize("act", [control.resume, lambda index, job_id: jobs.remove(index.job(job_id).folder)])
def test_a_trainer_that_has_written_its_jobs_end_is_waited_for(
    rig: Rigs, monkeypatch: pytest.MonkeyPatch, act: Callable[[Index, str], None]
) -> None:
    index, folder = (server := rig(CPU)).index, server.add()
    jobs.write_status(folder, Status(status="cancelled"))
    trainer = locks.hold(folder.trainer_lock, 0)
    trainer.__enter__()
    monkeypatch.setattr(locks, "time", _Waiting(lambda: trainer.__exit__(None, None, None)))

    act(index, folder.job_id)

    assert not folder.status_file.exists() or jobs.read_status(folder).status == "pending"


@pytest.mark.parametrize(("status", "waited"), [("running", False), ("failed", True)])
def test_a_trainer_that_lives_on_is_not_waited_for_longer(
    rig: Rigs, monkeypatch: pytest.MonkeyPatch, status: jobs.JobState, *, waited: bool
) -> None:
    index, folder = (server := rig(CPU)).index, server.add()
    jobs.write_status(folder, Status(status=status))
    clock = _Waiting()
    monkeypatch.setattr(locks, "time", clock)

    with locks.hold(folder.trainer_lock, 0), pytest.raises(ServiceError, match="its trainer is still there"):
        control.resume(index, folder.job_id)

    assert clock.now_s == (jobs.TRAINER_END_S if waited else 0)


def test_a_paused_job_lets_others_pass_and_has_its_old_place_when_it_is_resumed(rig: Rigs) -> None:
    server = rig(CPU, 1)

    async def scenario() -> None:
        paused, later, latest = (server.add() for _ in range(3))
        await server.given(paused)

        assert (await control.pause(server.index, server.trainers, paused.job_id)).status == "paused"
        await server.given(later)
        control.resume(server.index, paused.job_id)
        await server.finish(later)

        await server.given(paused)
        assert jobs.read_status(latest).status == "pending"

    server.run(scenario)


def test_a_job_folder_with_a_pause_file_is_paused_before_it_runs(rig: Rigs) -> None:
    server = rig(CPU)

    async def scenario() -> None:
        folder = server.add("pause")
        await server.given(server.add())
        assert jobs.read_status(folder).status == "paused"
        assert jobs.read_status(folder).started_at is None

    server.run(scenario)


def test_a_trainer_that_is_killed_while_it_pauses_leaves_a_paused_job(rig: Rigs) -> None:
    server = rig(CPU)

    async def scenario() -> None:
        folder = server.add("deaf")
        pid = int((await server.given(folder))["pid"])
        (folder.path / "pause").touch()
        os.kill(pid, signal.SIGKILL)

        await server.until(lambda: jobs.read_status(folder).status == "paused", "the job is paused")

    server.run(scenario)


def test_a_trainer_that_writes_a_checkpoint_is_waited_for(rig: Rigs, clock: _Clock) -> None:
    server = rig(CPU)

    async def scenario() -> None:
        folder = server.add("slow")
        await server.given(folder)
        stopping = asyncio.create_task(control.stop(server.index, server.trainers, folder.job_id))
        await server.until(lambda: folders.is_any_half_made(folder.checkpoints), "the checkpoint is being written")

        clock.now_s = 60
        asked = clock.times_asked
        await server.until(lambda: clock.times_asked > asked + 1, "the stop has seen the time")
        (folder.path / "written").touch()

        assert (await stopping).status == "cancelled"
        assert folder.checkpoint_steps() == [1]

    server.run(scenario)


def test_a_trainer_that_publishes_its_adapter_is_waited_for_and_has_completed_its_job(rig: Rigs, clock: _Clock) -> None:
    server = rig(CPU)

    async def scenario() -> None:
        folder = server.add("publishing")
        await server.given(folder)
        stopping = asyncio.create_task(control.stop(server.index, server.trainers, folder.job_id))
        await server.until(folder.publishing.exists, "the adapter is being published")

        clock.now_s = 60
        asked = clock.times_asked
        await server.until(lambda: clock.times_asked > asked + 1, "the stop has seen the time")
        (folder.path / "written").touch()

        with pytest.raises(ServiceError, match="cannot be cancelled: it is already completed"):
            await stopping

    server.run(scenario)


def test_a_checkpoint_that_is_never_written_is_not_waited_for_forever(
    rig: Rigs, clock: _Clock, caplog: pytest.LogCaptureFixture
) -> None:
    server = rig(CPU)

    async def scenario() -> None:
        folder = server.add("slow")
        await server.given(folder)
        stopping = asyncio.create_task(control.stop(server.index, server.trainers, folder.job_id))
        await server.until(lambda: folders.is_any_half_made(folder.checkpoints), "the checkpoint is being written")

        def time_passes() -> bool:
            clock.now_s += control.LONGEST_WRITING_S
            return stopping.done()

        await server.until(time_passes, "the trainer is ended")

        assert (await stopping).status == "cancelled"
        assert folder.checkpoint_steps() == []

    server.run(scenario)
    assert any("does not end: sending SIGTERM" in record.message for record in caplog.records)


def test_a_trainer_of_a_server_before_is_killed_too(rig: Rigs) -> None:
    first, folders = rig(CPU), list[JobFolder]()

    async def before() -> None:
        folders.append(first.add("deaf"))
        await first.given(folders[0])

    first.run(before)
    second = rig(CPU)
    second.index.refresh_job(folders[0].job_id)

    ended = asyncio.run(control.stop(second.index, second.trainers, folders[0].job_id))

    assert ended.status == "cancelled"
    assert not folders[0].is_training()


def test_the_pid_of_a_dead_predecessor_is_never_signalled(
    rig: Rigs, bystander: subprocess.Popen[bytes], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(control, "GIVE_UP_AFTER_S", 0.3)
    server = rig(CPU)
    folder = server.add()
    store.write(folder.status_file, Status(status="running", pid=bystander.pid))
    server.index.refresh_job(folder.job_id)

    with (
        locks.hold(folder.trainer_lock, 0),  # by a trainer that has not written its pid yet
        pytest.raises(ServiceError, match="does not end, and which process it is cannot be told"),
    ):
        asyncio.run(control.stop(server.index, server.trainers, folder.job_id))

    assert bystander.poll() is None


@pytest.mark.parametrize("pid", [None, 0])
def test_no_pid_is_nobody(rig: Rigs, pid: int | None) -> None:
    folder = rig(CPU).add()
    store.write(folder.status_file, Status(status="running", pid=pid))

    with locks.hold(folder.trainer_lock, 0):
        assert pid_of_trainer(folder) is None


def test_who_holds_the_lock_and_has_said_so_is_the_trainer(rig: Rigs) -> None:
    folder = rig(CPU).add()
    store.write(folder.status_file, Status(status="running", pid=os.getpid()))

    with locks.hold(folder.trainer_lock, 0):
        assert pid_of_trainer(folder) == os.getpid()
    assert pid_of_trainer(folder) is None


def test_a_stop_signals_a_launched_trainer_that_has_written_no_pid(rig: Rigs) -> None:
    server = rig(CPU)

    async def scenario() -> None:
        folder = server.add("deaf")
        pid = (await server.given(folder))["pid"]
        store.write(folder.status_file, Status(status="running"))

        assert server.trainers.signal(folder, signal.SIGKILL)
        await server.until(lambda: pid not in server.pids(), "the trainer is gone")  # the job soon has another one

    server.run(scenario)
