"""Idle inference gives way to a training that needs its memory, and only then."""

import asyncio
import json
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from runtime.process import memory
from runtime.process.machine import Machine
from runtime.server import processes
from runtime.server.jobs import room
from runtime.server.processes import ProcessDied
from state.jobs import Job
from state.row_source import RowSource
from tests import asking
from tests.processes import on_linux
from tests.server import CHECKOUT
from tests.standins import Rig

Rigs = Callable[..., Rig]


@pytest.mark.parametrize(
    ("device", "free_mb", "needed"), [("cpu", 20_000, False), ("cpu", 10_000, True), ("cuda", 20_000, True)]
)
def test_a_job_needs_the_room_of_idle_inference_where_memory_is_short(
    device: str,
    free_mb: float,
    needed: bool,  # noqa: FBT001
) -> None:
    machine = Machine(device, "any")  # type: ignore[arg-type]

    assert room.is_short(machine, free_mb, weights_mb=13_500) == needed


@on_linux
def test_inference_that_is_idle_is_gone_before_the_trainer_of_a_job_that_needs_its_memory_starts(
    rig: Rigs, toy: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    server = rig(Machine("cpu", "any"))
    shutil.copytree(toy, server.root.models / "toy")
    standins = processes.CODE

    async def scenario() -> None:
        monkeypatch.setattr(processes, "CODE", CHECKOUT)
        await asking.generate(server.worker, toy, max_new_tokens=1)
        holder = _pid(server)
        monkeypatch.setattr(processes, "CODE", standins)
        monkeypatch.setenv("LOOK_AT", json.dumps([holder]))

        monkeypatch.setattr(room, "free_mb", lambda: 1e6)
        roomy = await server.given(server.add())
        monkeypatch.setattr(room, "free_mb", lambda: 0.0)
        server.queue.slots = 2
        short = await server.given(server.add())

        assert (roomy["alive"], short["alive"]) == ([holder], [])

    server.run(scenario)


def test_a_plan_has_the_room_that_its_job_would_have(rig: Rigs, toy: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    server = rig(Machine("cpu", "any"))
    shutil.copytree(toy, server.root.models / "toy")
    (server.root.path / "plan may end").touch()
    monkeypatch.setattr(room, "free_mb", lambda: 0.0)
    rested: list[float] = []

    async def rest(after_s: float) -> None:
        rested.append(after_s)

    async def scenario() -> None:
        monkeypatch.setattr(server.worker, "rest", rest)
        with pytest.raises(Exception, match="planned"):
            await server.forecaster.forecast(Job(model_name="toy"), RowSource("train_texts", texts=["some text"]), None)

    server.run(scenario)
    assert rested == [0]


def test_inference_on_another_accelerator_keeps_its_memory(
    rig: Rigs, toy: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    server = rig(Machine("cuda", "two", ("0", "1")))
    shutil.copytree(toy, server.root.models / "toy")
    rested: list[float] = []

    async def rest(after_s: float) -> None:
        rested.append(after_s)

    async def scenario() -> None:
        monkeypatch.setattr(server.worker, "rest", rest)
        with server.accelerators.inferring() as environment:
            assert environment == {"CUDA_VISIBLE_DEVICES": "0"}

            assert (await server.given(server.add()))["accelerator"] == "1"
            assert rested == []
            assert (await server.given(server.add()))["accelerator"] == "0"

    server.run(scenario)
    assert rested == [0]


def test_trainers_and_plans_are_told_what_memory_they_may_take(rig: Rigs) -> None:
    server = rig(Machine("cpu", "any"), slots=2, spare=True, limits={"LATHE_MEMORY_MB": "7500"})
    (server.root.path / "plan may end").touch()

    async def scenario() -> None:
        given = [await server.given(server.add()) for _ in range(2)]
        with pytest.raises(Exception, match="planned"):
            await server.forecaster.forecast(Job(model_name="toy"), RowSource("train_texts", texts=["some text"]), None)

        plan = json.loads((server.root.path / "plan.json").read_text())
        assert [one["memory_mb"] for one in (*given, plan)] == ["7500"] * 3

    server.run(scenario)


def test_a_container_that_is_nearly_full_is_short_of_memory(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(memory, "free_in_cgroups", lambda: 5_000_000)

    assert room.free_mb() == 5.0


def _pid(server: Rig) -> int:
    assert server.worker._life is not None
    return server.worker._life.result()._process.pid


def test_a_plan_whose_process_is_killed_says_so(rig: Rigs) -> None:
    server = rig(Machine("cpu", "any"))

    async def scenario() -> None:
        (processes.CODE / "runtime/trainer/forecast.py").write_text("import os\nos.kill(os.getpid(), 9)\n")
        with pytest.raises(ProcessDied, match=r"The process that plans died. It was ended by signal 9 \(SIGKILL"):
            await server.forecaster.forecast(Job(model_name="toy"), RowSource("train_texts", texts=["some text"]), None)

    asyncio.run(scenario())
