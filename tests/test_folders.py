"""Folders are the interface: what a person does to them by hand shows over HTTP.

How soon it shows is measured by `python -m benchmarks.folders`.
"""

import json
import os
import re
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from state.jobs import JobFolder
from tests import jobs
from tests.server import CHECKOUT, PATIENCE_S, Server, wait_until


def _drop_in(server: Server, name: str, job: dict[str, Any], texts: list[str] | None = None) -> Path:
    """A job folder made elsewhere and moved in."""
    building = server.root / "training_jobs" / f".{name}.new"
    building.mkdir()
    (building / "job.json").write_text(json.dumps(job))
    if texts is not None:
        (building / "data").mkdir()
        (building / "data" / "train.jsonl").write_text("".join(json.dumps({"text": text}) + "\n" for text in texts))
    return building.rename(server.root / "training_jobs" / name)


def _wait_for_job(server: Server, job_id: str) -> dict[str, Any]:
    wait_until(lambda: server.get(f"/training/status/{job_id}").status_code == 200, f"{job_id} is shown")
    return server.status(job_id)


def test_a_folder_that_is_written_file_by_file_is_not_begun_half_and_texts_inside_job_json_are_enough(
    training: Server,
) -> None:
    """`mkdir`, then an editor: the folder is there before its files are."""
    folder = training.root / "training_jobs" / "job_slowly"
    folder.mkdir()
    (folder / "job.json").write_text('{"model_name": ')

    broken = _wait_for_job(training, "slowly")
    assert broken["status"] == "pending"
    assert "job_slowly/job.json" in broken["error_message"]

    job = {"model_name": "toy", "train_texts": ["one two", "three"], "training_config": {"max_steps": 1}}
    (folder / "job.json").write_text(json.dumps(job))
    assert training.wait_for("slowly", "completed")["error_message"] is None


def test_an_edited_waiting_job_is_shown_as_it_is_now(queueing: Server) -> None:
    job_id = queueing.start()
    file = queueing.job_folder(job_id) / "job.json"

    file.write_text(json.dumps(json.loads(file.read_text()) | {"model_name": "another"}))

    wait_until(lambda: queueing.status(job_id)["model_name"] == "another", "the change is shown")


def test_an_edited_waiting_job_takes_effect(start_server: Callable[..., Server], tmp_path: Path, toy: Path) -> None:
    shutil.copytree(toy, tmp_path / "models" / "toy")
    waiting = start_server("--slots", "0")
    job_id = waiting.start(model_name="toy", training_config={"max_steps": 50})
    file = waiting.job_folder(job_id) / "job.json"
    job = json.loads(file.read_text())
    file.write_text(json.dumps(job | {"training_config": {"max_steps": 3}, "adapter_name": "edited"}))
    waiting.close()

    server = start_server()

    assert server.wait_for(job_id, "completed")["total_steps"] == 3
    assert server.get("/adapters/edited").status_code == 200


@pytest.mark.parametrize(
    ("content", "error"),
    [
        ("{", "Input data was truncated"),
        ('{"model_name": "toy", "lora_confg": {}}', "unknown field `lora_confg`"),
        ('{"model_name": "toy", "lora_config": {"r": "four"}}', "$.lora_config.r"),
        ("\x00\x01", "JSON is malformed"),
        ('{"version": 99, "model_name": "toy"}', "$.version"),
    ],
)
def test_a_broken_job_file_keeps_the_last_good_state_and_names_the_error(
    queueing: Server, content: str, error: str
) -> None:
    job_id = queueing.start()
    file = queueing.job_folder(job_id) / "job.json"

    file.write_text(content)

    wait_until(lambda: queueing.status(job_id)["error_message"] is not None, "the error is shown")
    now = queueing.status(job_id)
    assert (now["status"], now["model_name"]) == ("pending", "tiny-python")
    assert error in now["error_message"]
    assert file.read_text() == content


def test_a_removed_job_folder_disappears(queueing: Server) -> None:
    job_id = queueing.start()

    shutil.rmtree(queueing.job_folder(job_id))

    wait_until(lambda: queueing.get(f"/training/status/{job_id}").status_code == 404, "the job is gone")
    assert job_id not in queueing.get("/training/jobs").text


def test_an_adapter_copied_in_is_listed_and_one_removed_disappears(queueing: Server, trained: Path) -> None:
    folder = queueing.root / "adapters" / "copied"
    shutil.copytree(trained, folder)
    wait_until(lambda: queueing.get("/adapters/copied").status_code == 200, "the adapter is listed")

    shutil.rmtree(folder)

    wait_until(lambda: queueing.get("/adapters/copied").status_code == 404, "the adapter is gone")


def test_a_stop_file_cancels_a_waiting_job(training: Server) -> None:
    folder = _drop_in(training, ".building", {"model_name": "toy"}, ["one two"])
    (folder / "stop").touch()

    folder.rename(training.root / "training_jobs" / "job_unwanted")

    _wait_for_job(training, "unwanted")
    assert training.wait_for("unwanted", "cancelled")["started_at"] is None


def test_a_trainer_launched_by_hand_is_shown_and_stopped_like_any_other(
    start_server: Callable[..., Server], tmp_path: Path, toy: Path
) -> None:
    shutil.copytree(toy, tmp_path / "models" / "toy")
    server = start_server("--slots", "0")
    job_id = server.start(model_name="toy", training_config={"max_steps": 100_000})

    trainer = jobs.launch(JobFolder(server.job_folder(job_id)))
    server.wait_for(job_id, "running")
    reply = server.post(f"/training/stop/{job_id}")

    assert reply.json()["status"] == "cancelled"
    trainer.communicate(timeout=PATIENCE_S)
    assert trainer.returncode == 130


def test_folders_that_lead_out_of_the_root_are_not_followed(queueing: Server, trained: Path, tmp_path: Path) -> None:
    (tmp_path / "job.json").write_text('{"model_name": "toy"}')
    (queueing.root / "training_jobs" / "job_leading_out").symlink_to(tmp_path)
    (queueing.root / "adapters" / "leading-out").symlink_to(trained)
    witness = queueing.start()
    wait_until(lambda: witness in queueing.get("/training/jobs").text, "the folders were read again")

    assert queueing.get("/training/status/leading_out").status_code == 404
    assert queueing.get("/adapters/leading-out").status_code == 404


def _documented(readme: Path) -> set[str]:
    """The files that a data folder's README names in the first column of its table."""
    return set(re.findall(r"^\| `([^`]+)` \|", readme.read_text(), flags=re.MULTILINE))


@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")  # what reports outlives the training
def test_every_file_of_a_finished_job_is_in_the_folders_readme(
    queueing: Server, train_here: Callable[..., str]
) -> None:
    job_id = train_here(
        adapter_name="documented",
        eval_texts=["one two"],
        chat_template="{{ messages[0].content }}",
        training_config={"max_steps": 1},
        report_to=["tensorboard"],
    )
    queueing.job_folder(job_id).joinpath("train.log").touch()  # what only a process of its own writes
    documented = _documented(CHECKOUT / "training_jobs" / "README.md")
    patterns = {name.replace("<n>", "*") for name in documented}

    for path in queueing.job_folder(job_id).rglob("*"):
        inside = path.relative_to(queueing.job_folder(job_id))
        places = [inside, *inside.parents]
        known = any(place.match(pattern.rstrip("/")) for place in places for pattern in patterns)
        is_parent = any(pattern.startswith(f"{inside}/") for pattern in patterns)
        assert known or is_parent, f"training_jobs/README.md does not name {inside}"

    published = {path.name for path in (queueing.root / "adapters" / "documented").iterdir()}
    assert published == _documented(CHECKOUT / "adapters" / "README.md")


def test_a_hand_edit_of_a_finished_job_shows_at_once_to_who_asks_for_it(queueing: Server) -> None:
    job_id = queueing.start()
    queueing.post(f"/training/stop/{job_id}")

    for step in range(20):
        (queueing.job_folder(job_id) / "status.json").write_text(
            json.dumps({"status": "failed", "current_step": step, "error_message": "by hand"})
        )
        now = queueing.status(job_id)
        assert (now["status"], now["current_step"], now["error_message"]) == ("failed", step, "by hand")


def test_a_bad_entry_is_its_own_problem_and_nobody_elses(start_server: Callable[..., Server], tmp_path: Path) -> None:
    """The server starts, lists each with what is wrong, and every other job moves."""
    good = jobs.make(tmp_path, "job_good")
    (tmp_path / "models").mkdir()
    (tmp_path / "models" / "aliases.json").write_text("{oops")
    copied = tmp_path / "adapters" / "copied"  # without a record: its model's name is looked up among the aliases
    copied.mkdir(parents=True)
    (copied / "adapter_config.json").write_text('{"peft_type": "LORA", "base_model_name_or_path": "some/base"}')
    (tmp_path / "training_jobs" / "job_folder" / "job.json").mkdir(parents=True)
    os.mkfifo(jobs.make(tmp_path, "job_pipe").status_file)
    leftover = tmp_path / "adapters" / ".gone.removed"
    leftover.mkdir()

    server = start_server("--slots", "0")

    listed = {job["job_id"]: job["status"] for job in server.get("/training/jobs").json()["jobs"]}
    assert listed == {"good": "pending", "folder": "pending", "pipe": "pending"}
    assert "job_folder/job.json: Is a directory" in server.status("folder")["error_message"]
    assert "job_pipe/status.json: is a pipe" in server.status("pipe")["error_message"]
    adapter = server.get("/adapters/copied").json()
    assert (adapter["model_name"], "is missing" in adapter["problem"]) == ("some/base", True)
    assert not leftover.exists()
    good.status_file.write_text('{"status": "failed"}')
    wait_until(lambda: '"failed"' in server.get("/training/jobs").text, "the change is listed")
    assert "Traceback" not in server.log.read_text()
