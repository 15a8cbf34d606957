"""Which process gets which accelerator. CUDA is only its environment here: what a process sees of it is what counts."""

import asyncio
import json
import os
import signal
from collections.abc import Callable
from pathlib import Path

import pytest

from runtime.messages.training import FAILED, OUT_OF_MEMORY
from runtime.process.machine import Machine
from state import jobs
from state.errors import Busy, ServiceError
from state.jobs import Job, JobFolder
from state.row_source import RowSource
from tests import asking
from tests.standins import Rig

TWO = Machine("cuda", "two", ("0", "1"))
THREE = Machine("cuda", "three", ("0", "1", "2"))
ONE = Machine("cuda", "one", ("0",))

Rigs = Callable[..., Rig]


async def _a_plan(rig: Rig) -> str:
    """What a plan is answered."""
    try:
        await rig.forecaster.forecast(Job(model_name="toy"), RowSource("train_texts", texts=["some text"]), None)
    except ServiceError as error:
        return str(error)
    return ""


def _seen_by(rig: Rig, process: str) -> object:
    file = rig.root.path / f"{process}.json"
    return json.loads(file.read_text())["accelerator"] if file.exists() and file.read_text() else None


def test_each_trainer_has_an_accelerator_of_its_own_and_a_free_one_is_used_again(rig: Rigs) -> None:
    server = rig(THREE)

    async def scenario() -> None:
        folders = [server.add() for _ in range(3)]
        assert sorted([(await server.given(folder))["accelerator"] for folder in folders]) == ["0", "1", "2"]
        freed = (await server.given(folders[1]))["accelerator"]

        await server.finish(folders[1])

        assert (await server.given(server.add()))["accelerator"] == freed

    server.run(scenario)


def test_more_slots_than_accelerators_spread_evenly(rig: Rigs) -> None:
    server = rig(TWO, slots=5)

    async def scenario() -> None:
        seen = [(await server.given(folder))["accelerator"] for folder in [server.add() for _ in range(5)]]
        assert sorted(seen) == ["0", "0", "0", "1", "1"]

    server.run(scenario)


def test_a_spare_takes_a_job_only_on_the_accelerator_it_was_started_with(rig: Rigs) -> None:
    server = rig(TWO, spare=True)

    async def scenario() -> None:
        await server.until(lambda: server.launcher.spare_accelerator == "0", "a spare waits on the first")
        assert (await server.given(server.add()))["accelerator"] == "0"
        await server.until(lambda: server.launcher.spare_accelerator == "1", "the next waits on the free one")

        assert (await server.given(server.add()))["accelerator"] == "1"

    server.run(scenario)


def test_a_job_that_gets_another_accelerator_than_the_spares_starts_cold(rig: Rigs) -> None:
    server = rig(TWO, spare=True)

    async def scenario() -> None:
        server.launcher.prepare()
        assert server.launcher.spare_accelerator == "0"
        elsewhere, there = server.add(), server.add()

        server.trainers.launch(elsewhere, "1")
        server.trainers.launch(there, "0")

        cold, warm = await server.given(elsewhere), await server.given(there)
        assert (cold["accelerator"], cold["spare"]) == ("1", False)
        assert (warm["accelerator"], warm["spare"]) == ("0", True)

    asyncio.run(scenario())


def test_the_accelerators_of_trainers_that_a_server_before_has_launched_are_not_forgotten(rig: Rigs) -> None:
    first = rig(THREE)
    taken = []

    async def before() -> None:
        taken.extend([(await first.given(first.add()))["accelerator"] for _ in range(2)])

    first.run(before)
    second = rig(THREE)

    async def after() -> None:
        assert (await second.given(second.add()))["accelerator"] not in taken

    second.run(after)
    assert taken == ["0", "1"]


def test_a_plan_has_an_idle_accelerator(rig: Rigs) -> None:
    server = rig(TWO)

    async def scenario() -> None:
        assert (await server.given(server.add()))["accelerator"] == "0"
        planning = asyncio.create_task(_a_plan(server))
        await server.until(lambda: _seen_by(server, "plan") == "1", "the plan is made on the idle one")

        (server.root.path / "plan may end").touch()

        assert await planning == "planned"

    server.run(scenario)


def test_a_plan_is_refused_in_words_while_all_accelerators_train(rig: Rigs) -> None:
    server = rig(ONE)

    async def scenario() -> None:
        await server.given(server.add())

        with pytest.raises(Busy, match="ask again when a job has ended"):
            await server.forecaster.forecast(Job(model_name="toy"), RowSource("train_texts", texts=["some text"]), None)

    server.run(scenario)


def test_a_job_waits_for_the_end_of_a_plan_on_the_only_accelerator_and_not_for_one_that_is_given_up(rig: Rigs) -> None:
    server = rig(ONE)

    async def scenario() -> None:
        planning, queued = (asyncio.create_task(_a_plan(server)) for _ in range(2))
        await server.until(lambda: _seen_by(server, "plan"), "the plan is being made")
        folder = server.add()
        await server.queue._round()
        assert server.queue.busy() == 0

        queued.cancel()
        planning.cancel()

        assert (await server.given(folder))["accelerator"] == "0"

    server.run(scenario)


def test_a_caller_who_waits_behind_a_plan_that_is_given_up_is_next(rig: Rigs) -> None:
    server = rig(Machine("cpu", "any"))

    async def scenario() -> None:
        given_up, waiting = (asyncio.create_task(_a_plan(server)) for _ in range(2))
        await server.until((server.root.path / "plan.json").exists, "the first plan is being made")

        given_up.cancel()
        (server.root.path / "plan may end").touch()

        assert await waiting == "planned"

    server.run(scenario)


def test_inference_begins_on_the_accelerator_with_the_fewest_trainings_and_jobs_keep_away_from_it(rig: Rigs) -> None:
    server = rig(THREE)

    async def scenario() -> None:
        assert (await server.given(server.add()))["accelerator"] == "0"
        asked = asyncio.create_task(asking.generate(server.worker, Path("toy")))
        await server.until(lambda: _seen_by(server, "inference"), "inference has begun")

        assert _seen_by(server, "inference") == "1"
        assert (await server.given(server.add()))["accelerator"] == "2"
        asked.cancel()

    server.run(scenario)


@pytest.mark.parametrize(
    ("recorded", "accelerator"), [("1", "1"), ("1,0", "1"), (None, "0"), ("", "0"), ("GPU-unknown", "0")]
)
def test_a_trainer_by_hand_takes_the_first_accelerator_that_it_sees(
    rig: Rigs, recorded: str | None, accelerator: str
) -> None:
    assert rig(TWO).accelerators.of(recorded) == accelerator


async def _begin_inference(server: Rig) -> None:
    file = server.root.path / "inference.json"
    file.unlink(missing_ok=True)
    asked = asyncio.create_task(asking.generate(server.worker, Path("toy")))
    await server.until(file.exists, "inference has begun")
    asked.cancel()
    await asyncio.gather(asked, return_exceptions=True)


async def _run_out_of_memory(server: Rig, folder: JobFolder) -> None:
    await server.finish(folder, OUT_OF_MEMORY, "words for the user")
    await server.queue._round()


def test_out_of_memory_beside_inference_is_tried_again_and_alone_it_is_final(rig: Rigs) -> None:
    server = rig(ONE)

    async def scenario() -> None:
        alone = server.add()
        await server.given(alone)
        await _run_out_of_memory(server, alone)
        assert jobs.read_status(alone).status == "failed"

        beside = server.add()
        first = await server.given(beside)
        await _begin_inference(server)
        await server.finish(beside, OUT_OF_MEMORY, "words for the user")

        assert (await server.given(beside))["pid"] != first["pid"]

    server.run(scenario)


def test_another_failure_beside_inference_is_final(rig: Rigs) -> None:
    server = rig(ONE)

    async def scenario() -> None:
        folder = server.add()
        await server.given(folder)
        await _begin_inference(server)

        await server.finish(folder, FAILED, "words for the user")
        await server.queue._round()

        assert jobs.read_status(folder).error_message == "words for the user"

    server.run(scenario)


def test_inference_that_ended_while_a_training_ran_has_shared_its_memory_and_one_that_ended_before_has_not(
    rig: Rigs,
) -> None:
    server = rig(ONE)

    async def scenario() -> None:
        beside = server.add()
        first = await server.given(beside)
        await _begin_inference(server)
        await server.worker.rest(0)
        await server.finish(beside, OUT_OF_MEMORY, "words for the user")
        assert (await server.given(beside))["pid"] != first["pid"]
        await server.finish(beside)

        after = server.add()
        await server.given(after)
        await _run_out_of_memory(server, after)

        assert jobs.read_status(after).status == "failed"

    server.run(scenario)


@pytest.mark.parametrize("end", ["rest", "death"])
def test_jobs_use_an_accelerator_again_when_inference_there_has_ended(rig: Rigs, end: str) -> None:
    server = rig(TWO)

    async def scenario() -> None:
        await _begin_inference(server)
        assert _seen_by(server, "inference") == "0"
        assert server.accelerators.for_training(None) == "1"

        if end == "rest":
            await server.worker.rest(0)
        else:
            os.kill(json.loads((server.root.path / "inference.json").read_text())["pid"], signal.SIGKILL)

        await server.until(lambda: server.accelerators.for_training(None) == "0", "the first one is as free")

    server.run(scenario)


def test_before_the_first_look_nothing_takes_an_accelerator_that_a_trainer_may_have(rig: Rigs) -> None:
    server = rig(TWO)

    async def scenario() -> None:
        with pytest.raises(Busy, match="has just started"):
            await server.forecaster.forecast(Job(model_name="toy"), RowSource("train_texts", texts=["some text"]), None)
        with pytest.raises(Busy, match="has just started"):
            await asking.generate(server.worker, Path("toy"))

        await server.queue._round()

        await _begin_inference(server)
        await server.worker.close()

    asyncio.run(scenario())


def test_with_one_accelerator_inference_needs_no_look_at_what_trains(rig: Rigs) -> None:
    with rig(ONE).accelerators.inferring() as environment:
        assert environment == {"CUDA_VISIBLE_DEVICES": "0"}


def test_a_training_whose_launch_fails_takes_no_accelerator(rig: Rigs) -> None:
    accelerators = rig(TWO).accelerators

    def fail_to_launch() -> None:
        with accelerators.launching("0"):
            assert accelerators.for_training(None) == "1"
            raise OSError("no process")

    with pytest.raises(OSError, match="no process"):
        fail_to_launch()

    assert accelerators.for_training(None) == "0"
