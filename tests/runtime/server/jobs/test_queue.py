"""Jobs wait in order, run as many at once as there are slots, and outlive trainers and servers that are killed."""

import asyncio
import os
import shutil
import signal
from collections.abc import Callable
from pathlib import Path

import pytest

from runtime.process.machine import Machine
from runtime.server.jobs.trainers import Ended
from state import jobs
from state.jobs import JobFolder
from tests.server import Server
from tests.standins import Rig

CPU = Machine("cpu", "any")

Rigs = Callable[..., Rig]


@pytest.fixture
def start(start_server: Callable[..., Server], tmp_path: Path, toy: Path) -> Callable[..., Server]:
    shutil.copytree(toy, tmp_path / "models" / "toy")
    return start_server


def test_jobs_run_one_after_another_in_the_order_of_their_requests(rig: Rigs) -> None:
    server = rig(CPU)

    async def scenario() -> None:
        waiting = [server.add() for _ in range(3)]
        while waiting:
            first, *waiting = waiting
            await server.given(first)
            assert server.queue.busy() == 1
            assert [jobs.read_status(folder).status for folder in waiting] == ["pending"] * len(waiting)
            await server.finish(first)

    server.run(scenario)


def test_slots_run_side_by_side_and_the_rest_waits(rig: Rigs) -> None:
    server = rig(CPU, slots=2)

    async def scenario() -> None:
        folders = [server.add() for _ in range(3)]
        trainers = [(await server.given(folder))["pid"] for folder in folders[:2]]

        await server.queue._round()

        assert server.queue.busy() == 2
        assert sorted(server.pids()) == sorted(trainers)
        assert jobs.read_status(folders[2]).status == "pending"

    server.run(scenario)


def test_a_server_that_ends_while_it_makes_room_for_a_job_ends(rig: Rigs, monkeypatch: pytest.MonkeyPatch) -> None:
    server = rig(CPU)

    async def scenario() -> None:
        working = asyncio.create_task(server.queue.run())

        async def make(*_: object) -> None:
            working.cancel()

        monkeypatch.setattr(server.room, "make", make)
        folder = server.add()
        await server.until(lambda: working.done() or folder.is_training(), "the queue has ended")

        assert working.cancelled()

    asyncio.run(scenario())


def test_a_job_whose_trainers_die_without_progress_fails_with_the_signal(rig: Rigs) -> None:
    server = rig(CPU)
    killed: set[int] = set()

    async def scenario() -> None:
        folder = server.add()
        folder.log_file.write_text("the last words\n")

        def is_given_up() -> bool:
            """Kill each trainer that has begun and counted its attempt."""
            now = jobs.read_status(folder)
            if now.status == "running" and now.pid is not None and now.pid not in killed:
                os.kill(now.pid, signal.SIGKILL)
                killed.add(now.pid)
            return now.status == "failed"

        await server.until(is_given_up, "the job is given up")

        message = jobs.read_status(folder).error_message or ""
        assert message.startswith("The trainer died 3 times without progress. It was ended by signal 9 (SIGKILL")
        assert "Last lines of train.log:\nthe last words" in message

    server.run(scenario)
    assert len(killed) == 3


def test_how_a_trainer_died_is_known_where_it_dies_in_the_middle_of_a_round(
    rig: Rigs, monkeypatch: pytest.MonkeyPatch
) -> None:
    server = rig(CPU)
    collect = server.trainers.collect

    def collect_too_early() -> list[Ended]:
        ended = collect()
        for child in server.trainers._children.values():
            child.process.kill()
            child.process.wait()
        return ended

    async def scenario() -> None:
        monkeypatch.setattr(server.trainers, "collect", collect_too_early)
        folder = server.add()
        await server.until(lambda: jobs.read_status(folder).status == "failed", "the job is given up")
        message = jobs.read_status(folder).error_message or ""
        assert message.startswith("The trainer died 3 times without progress. It was ended by signal 9 (SIGKILL")

    server.run(scenario)


def test_a_trainer_that_died_with_its_server_is_taken_up_by_the_next(rig: Rigs) -> None:
    first, folders, killed = rig(CPU), list[JobFolder](), list[int]()

    async def before() -> None:
        folders.append(first.add())
        killed.append((await first.given(folders[0]))["pid"])

    first.run(before)
    first.end_trainers()
    second = rig(CPU)

    async def after() -> None:
        await second.until(lambda: [jobs.read_status(folders[0]).pid] == second.pids(), "another trainer runs")
        assert second.pids() != killed

    second.run(after)


def test_a_second_server_on_the_same_root_is_refused_by_the_first_ones_name(start: Callable[..., Server]) -> None:
    first = start()
    owner = rf"Another Lathe server \(process {first.process.pid}, http://127.0.0.1:{first.port}\) works on"

    with pytest.raises(AssertionError, match=owner):
        start(root=first.root)
