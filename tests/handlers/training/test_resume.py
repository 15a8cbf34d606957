import json

import pytest

from state import metrics
from state.jobs import JobFolder
from tests.server import Server, wait_until


def test_a_job_that_a_stop_file_cancelled_goes_on_from_its_checkpoint(training: Server) -> None:
    """To the result that it would have had: tests/runtime/trainer/test_interruptions.py."""
    settings = {"max_steps": 100_000, "logging_steps": 2, "save_steps": 100_000}
    job_id = training.start(model_name="toy", training_config=settings)
    folder = training.job_folder(job_id)
    wait_until(lambda: training.status(job_id)["current_step"] > 5, "some steps are done")
    (folder / "stop").touch()
    halfway = training.wait_for(job_id, "cancelled")["current_step"]
    wait_until(lambda: not JobFolder(folder).is_training(), "its trainer is gone")  # it is not waited for for ever
    curve = metrics.read(folder / "metrics.jsonl")
    job = json.loads((folder / "job.json").read_text())
    shorter = settings | {"max_steps": halfway + 3}
    (folder / "job.json").write_text(json.dumps(job | {"training_config": shorter}))

    reply = training.post(f"/training/resume/{job_id}")

    assert (reply.status_code, reply.json()) == (
        200,
        {
            "job_id": job_id,
            "status": "resumed",
            "message": f"Training job {job_id} resumed successfully",
        },
    )
    done = training.wait_for(job_id, "completed")
    assert done["current_step"] == halfway + 3
    assert training.get(f"/training/jobs/{job_id}").json()["resumed_from_step"] == halfway
    assert not (folder / "stop").exists()
    assert f"Going on from step-{halfway}" in (folder / "train.log").read_text()
    assert metrics.read(folder / "metrics.jsonl")[: len(curve)] == curve


def test_a_failed_job_says_why_and_is_resumed_when_its_cause_is_mended(training: Server) -> None:
    folder = training.root / "training_jobs" / ".job_broken.new"
    (folder / "data").mkdir(parents=True)
    (folder / "job.json").write_text('{"model_name": "toy", "training_config": {"max_steps": 2}}')
    (folder / "data" / "train.jsonl").write_text('{"text": ""}\n')
    folder = folder.rename(training.root / "training_jobs" / "job_broken")
    wait_until(lambda: training.status("broken").get("status") == "failed", "the job has failed")
    failed = training.status("broken")
    wait_until(lambda: not JobFolder(folder).is_training(), "its trainer is gone")

    (folder / "data" / "train.jsonl").write_text('{"text": "one two"}\n')
    reply = training.post("/training/resume/broken")

    assert failed["error_message"].startswith("train.jsonl line 1, text: is empty: write the text, or remove the row")
    assert "Last lines of train.log:" in failed["error_message"]
    assert failed["adapter_path"] is None
    assert failed["completed_at"].endswith("Z")
    assert reply.status_code == 200
    assert training.wait_for("broken", "completed")["error_message"] is None


@pytest.mark.parametrize("status", ["pending", "completed"])
def test_resume_refuses_a_job_that_has_not_been_stopped(queueing: Server, status: str) -> None:
    job_id = queueing.start()
    (queueing.job_folder(job_id) / "status.json").write_text(json.dumps({"status": status}))

    reply = queueing.post(f"/training/resume/{job_id}")

    assert (reply.status_code, reply.json()) == (400, {"error": f"Job {job_id} cannot be resumed: it is {status}"})


def test_resume_names_a_file_that_cannot_be_read(queueing: Server) -> None:
    job_id = queueing.start()
    queueing.post(f"/training/stop/{job_id}")
    (queueing.job_folder(job_id) / "job.json").write_text("{")

    reply = queueing.post(f"/training/resume/{job_id}")

    assert reply.status_code == 400
    assert f"job_{job_id}/job.json" in reply.json()["error"]
