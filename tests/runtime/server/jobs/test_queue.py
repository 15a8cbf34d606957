"""Jobs wait in order, run as many at once as there are slots, and outlive trainers and servers that are killed."""

import shutil
from collections.abc import Callable
from datetime import datetime
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest

from tests.server import Server, wait_until

LONG = {"max_steps": 100_000, "save_steps": 50, "logging_steps": 50}


@pytest.fixture
def start(start_server: Callable[..., Server], tmp_path: Path, toy: Path) -> Callable[..., Server]:
    shutil.copytree(toy, tmp_path / "models" / "toy")
    return start_server


def _started_at(status: dict[str, Any]) -> datetime:
    return datetime.fromisoformat(status["started_at"])


def test_jobs_run_one_after_another_in_the_order_of_their_requests(start: Callable[..., Server]) -> None:
    server = start()
    ids = [server.start(model_name="toy", training_config={"max_steps": 2}) for _ in range(3)]

    ended = [server.wait_for(job_id, "completed") for job_id in ids]

    for before, after in pairwise(ended):
        assert datetime.fromisoformat(before["completed_at"]) <= _started_at(after)


def test_slots_run_side_by_side_and_the_rest_waits(start: Callable[..., Server]) -> None:
    server = start("--slots", "2")
    ids = [server.start(model_name="toy", training_config=LONG) for _ in range(3)]

    for job_id in ids[:2]:
        server.wait_for(job_id, "running", timeout_s=60)

    assert server.status(ids[2])["status"] == "pending"
    assert server.get("/health").json()["slots"] == {"total": 2, "busy": 2}
    for job_id in ids:
        assert server.post(f"/training/stop/{job_id}").status_code == 200


def test_a_killed_trainers_job_is_taken_up_again_by_itself(start: Callable[..., Server]) -> None:
    server = start()
    job_id = server.start(model_name="toy", training_config=LONG)
    server.wait_for_step(job_id, 50)

    killed = server.kill_trainer(job_id)

    assert server.wait_for_going_on(job_id) != killed


def test_a_job_whose_trainers_die_without_progress_fails_with_the_signal(start: Callable[..., Server]) -> None:
    server = start()
    job_id = server.start(model_name="toy", training_config=LONG | {"save_steps": 100_000, "max_steps": 100_000})
    killed: set[int] = set()

    def is_over() -> bool:
        now = server.status(job_id)
        if now["status"] == "running" and now["current_step"] > 0:
            killed.add(server.kill_trainer(job_id))
            wait_until(lambda: server.status(job_id)["status"] != "running", "the death is noticed", timeout_s=60)
        return bool(now["status"] == "failed")

    wait_until(is_over, "the job is given up", timeout_s=90)

    message = server.status(job_id)["error_message"]
    assert len(killed) == 3
    assert message.startswith("The trainer died 3 times without progress. It was ended by signal 9 (SIGKILL")
    assert "Last lines of train.log:" in message


def test_a_trainer_outlives_its_server_and_the_next_server_adopts_it(start: Callable[..., Server]) -> None:
    first = start()
    running = first.start(model_name="toy", training_config=LONG)
    waiting = first.start(model_name="toy", training_config={"max_steps": 2})
    first.wait_for_step(running, 50)
    trainer = first.trainer(running)

    first.kill()
    second = start()

    assert second.status(running)["status"] == "running"
    assert second.trainer(running) == trainer
    assert second.status(waiting)["status"] == "pending"
    assert second.post(f"/training/stop/{running}").status_code == 200
    assert second.wait_for(waiting, "completed")["current_step"] == 2


def test_a_trainer_that_died_with_its_server_is_taken_up_by_the_next(start: Callable[..., Server]) -> None:
    first = start()
    job_id = first.start(model_name="toy", training_config=LONG)
    first.wait_for_step(job_id, 50)

    first.kill()
    killed = first.kill_trainer(job_id)
    second = start()

    assert second.wait_for_going_on(job_id) != killed


def test_a_second_server_on_the_same_root_is_refused_by_the_first_ones_name(start: Callable[..., Server]) -> None:
    first = start()
    owner = rf"Another Lathe server \(process {first.process.pid}, http://127.0.0.1:{first.port}\) works on"

    with pytest.raises(AssertionError, match=owner):
        start(root=first.root)
