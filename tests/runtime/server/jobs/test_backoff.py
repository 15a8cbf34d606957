"""What fails is tried again after growing pauses, and its reason is told once."""

import asyncio
import logging
import tempfile
from collections.abc import Callable
from pathlib import Path

import pytest

from runtime.process.machine import Machine
from runtime.server import processes
from runtime.server.jobs import backoff
from runtime.server.jobs.backoff import Backoff
from runtime.server.jobs.launch import SPARE
from state import jobs
from state.jobs import JobFolder
from tests.standins import Rig

CPU = Machine("cpu", "any")

Rigs = Callable[..., Rig]


class _Clock:
    def __init__(self) -> None:
        self.now_s = 0.0

    def monotonic(self) -> float:
        return self.now_s


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> _Clock:
    clock = _Clock()
    monkeypatch.setattr(backoff, "time", clock)
    return clock


def test_pauses_double_up_to_five_minutes_and_a_success_forgets_them(clock: _Clock) -> None:
    tries = Backoff()
    pauses = []
    for _ in range(11):
        tries.failed("it", "broken")
        began = clock.now_s
        while not tries.may_try("it"):
            clock.now_s += 1
        pauses.append(clock.now_s - began)

    tries.forget("it")
    tries.failed("it", "broken")
    clock.now_s += 1

    assert pauses == [1, 2, 4, 8, 16, 32, 64, 128, 256, 300, 300]
    assert tries.may_try("it")


def test_a_reason_is_logged_when_it_is_new(caplog: pytest.LogCaptureFixture) -> None:
    tries = Backoff()
    for reason in ("broken", "broken", "worse", "worse"):
        tries.failed("it", reason)

    assert [record.message for record in caplog.records] == ["broken", "worse"]


def test_what_is_over_is_forgotten() -> None:
    tries = Backoff()
    for number in range(100):
        tries.failed(str(number), "broken")
        tries.keep({str(number)})

    assert list(tries._failing) == ["99"]


def test_a_spare_that_dies_at_its_imports_is_told_once_and_tried_again_later(
    rig: Rigs, clock: _Clock, caplog: pytest.LogCaptureFixture
) -> None:
    server = rig(CPU, spare=True)
    (processes.CODE / "runtime/trainer/spare.py").write_text("import os, no_such_library\n")
    started: list[object] = []

    async def scenario() -> None:
        for _ in range(3):
            await server.until(lambda: not server.launcher._backoff.may_try(SPARE), "a spare has died")
            started.append(server.launcher._spare)
            clock.now_s += 1000
        assert (await server.given(server.add()))["spare"] is False

    server.run(scenario)
    told = [record.message for record in caplog.records if "spare" in record.message]
    assert len(told) == 1
    assert "ModuleNotFoundError: No module named 'no_such_library'" in told[0]
    assert started == [None, None, None]


def _told(caplog: pytest.LogCaptureFixture, words: str) -> list[logging.LogRecord]:
    return [record for record in caplog.records if words in record.message]


def test_a_job_that_cannot_be_ended_holds_up_no_other(
    rig: Rigs, clock: _Clock, caplog: pytest.LogCaptureFixture
) -> None:
    """Its lock is a folder, which stops even root; in life it belongs to somebody else."""
    server = rig(CPU)

    async def scenario() -> None:
        stopped = server.add("stop")
        stopped.trainer_lock.mkdir()
        await server.given(server.add())
        assert "cannot be worked on" in str(server.queue.obstacle(stopped.job_id))

        stopped.trainer_lock.rmdir()
        clock.now_s += 1000
        server.queue.slots = 2
        await server.until(lambda: jobs.read_status(stopped).status == "cancelled", "it is ended")

    server.run(scenario)
    [told] = _told(caplog, "cannot be worked on")
    assert told.exc_info is None


def test_a_model_that_cannot_be_read_holds_up_nobody(rig: Rigs) -> None:
    server = rig(CPU, slots=2)
    model = server.root.models / "toy"
    model.mkdir()
    (model / "config.json").write_text("{}")
    (model / "model.safetensors").symlink_to("nowhere")

    async def scenario() -> None:
        for folder in [server.add(), server.add()]:
            await server.given(folder)  # its trainer says what is wrong

    server.run(scenario)


def test_what_nobody_foresaw_of_a_job_is_told_with_its_traceback_and_holds_up_no_other(
    rig: Rigs, clock: _Clock, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    server = rig(CPU)
    launch = server.trainers.launch
    odd: list[JobFolder] = []

    def fail_oddly(folder: JobFolder, accelerator: str | None) -> None:
        if folder in odd:
            raise ZeroDivisionError("odd")
        launch(folder, accelerator)

    monkeypatch.setattr(server.trainers, "launch", fail_oddly)

    async def scenario() -> None:
        odd.append(server.add())
        await server.given(server.add())
        clock.now_s += 1000
        server.queue.slots = 2
        await server.queue._round()

    server.run(scenario)
    [told] = _told(caplog, "cannot be worked on: odd")
    assert told.exc_info is not None


def test_a_round_that_fails_is_told_once_and_tried_again_after_growing_pauses(
    rig: Rigs, clock: _Clock, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    server = rig(CPU)
    look, looks = server.trainers.look, list[float]()

    def fail(_: object) -> None:
        looks.append(clock.now_s)
        raise ZeroDivisionError("odd")

    async def failing() -> None:
        while clock.now_s < 4:
            await server.queue._try_a_round()
            clock.now_s += 0.5

    async def mended() -> None:
        clock.now_s = 1000
        await server.given(server.add())

    monkeypatch.setattr(server.trainers, "look", fail)
    asyncio.run(failing())
    monkeypatch.setattr(server.trainers, "look", look)
    server.run(mended)

    assert looks == [0, 1, 3]
    assert len(_told(caplog, "A round of the job queue failed")) == 1


def test_without_a_folder_for_temporary_files_jobs_start_cold(
    rig: Rigs, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path / "nowhere"))
    server = rig(CPU, spare=True)

    async def scenario() -> None:
        assert (await server.given(server.add()))["spare"] is False
        server.launcher.prepare()

    server.run(scenario)
    assert _told(caplog, "No spare trainer can be started, jobs start cold")


@pytest.mark.parametrize("has_log", [True, False])
def test_a_job_whose_folder_cannot_be_worked_in_waits_and_says_why_once(
    rig: Rigs,
    clock: _Clock,
    caplog: pytest.LogCaptureFixture,
    monkeypatch: pytest.MonkeyPatch,
    has_log: bool,  # noqa: FBT001
) -> None:
    """What nobody can open is a folder here, which stops even root; in life it belongs to somebody else."""
    server = rig(CPU)
    caplog.set_level(logging.WARNING)
    launched: list[JobFolder] = []
    launch = server.trainers.launch

    def count(folder: JobFolder, accelerator: str | None) -> None:
        launched.append(folder)
        launch(folder, accelerator)

    monkeypatch.setattr(server.trainers, "launch", count)

    async def scenario() -> None:
        folder = server.add()
        folder.trainer_lock.mkdir()
        if not has_log:
            folder.log_file.mkdir()
        await server.until(lambda: server.queue.obstacle(folder.job_id), "it is told")
        launched.clear()
        for _ in range(3):
            await server.queue._round()
        assert not launched, "it was launched again at once"

        folder.trainer_lock.rmdir()
        if not has_log:
            folder.log_file.rmdir()
        clock.now_s += 1
        await server.given(folder)
        await server.until(lambda: server.queue.obstacle(folder.job_id) is None, "it is told no more")

    server.run(scenario)
    told = [record.message for record in caplog.records if "cannot be worked on" in record.message]
    assert len(told) == 1
