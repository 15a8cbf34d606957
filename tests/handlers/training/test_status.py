import json
from pathlib import Path
from typing import Any

from tests.server import Server, wait_until

FIELDS = {
    "job_id",
    "model_name",
    "status",
    "progress",
    "created_at",
    "started_at",
    "completed_at",
    "current_step",
    "total_steps",
    "current_loss",
    "learning_rate",
    "metrics",
    "adapter_path",
    "stopped_early",
    "error_message",
    "message",
}


def test_status_tells_a_job_from_waiting_to_completed(training: Server) -> None:
    job_id = training.start(
        model_name="toy",
        train_texts=[f"number {n}" for n in range(8)],
        eval_texts=["number 9"],
        training_config={"num_epochs": 10, "gradient_accumulation_steps": 1, "logging_steps": 5},
    )
    waiting = training.status(job_id)
    running = training.wait_for(job_id, "running")
    seen: list[dict[str, Any]] = []

    def ended() -> bool:
        seen.append(training.status(job_id))
        return bool(seen[-1]["status"] == "completed")

    wait_until(ended, "the job is completed")

    assert set(waiting) == FIELDS
    assert (waiting["status"], waiting["progress"], waiting["started_at"]) == ("pending", 0.0, None)
    assert running["started_at"].endswith("Z")
    assert running["adapter_path"] == f"./training_jobs/job_{job_id}/adapter"
    progress = [now["progress"] for now in seen]
    assert progress == sorted(progress)
    assert all((now["progress"] == 100.0) == (now["status"] == "completed") for now in seen)
    done = seen[-1]
    assert (done["current_step"], done["total_steps"]) == (80, 80)
    assert done["current_loss"] > 0
    assert done["metrics"]["train_loss"] > 0
    assert done["metrics"]["eval_loss"] > 0
    assert done["error_message"] is None


def test_a_failed_job_says_why(training: Server) -> None:
    folder = training.root / "training_jobs" / ".job_broken.new"
    (folder / "data").mkdir(parents=True)
    (folder / "job.json").write_text('{"model_name": "toy"}')
    (folder / "data" / "train.jsonl").write_text('{"text": ""}\n')
    folder.rename(training.root / "training_jobs" / "job_broken")
    wait_until(lambda: training.status("broken").get("status") == "failed", "the job has failed")

    failed = training.status("broken")

    assert failed["error_message"].startswith("train.jsonl line 1, text: is empty: write the text, or remove the row")
    assert "Last lines of train.log:" in failed["error_message"]
    assert failed["adapter_path"] is None
    assert failed["completed_at"].endswith("Z")


def test_a_status_file_that_does_not_parse_keeps_the_last_good_state(queueing: Server) -> None:
    job_id = queueing.start()
    file: Path = queueing.job_folder(job_id) / "status.json"
    file.write_text('{"status": "running", ')

    wait_until(lambda: queueing.status(job_id)["error_message"] is not None, "the error is shown")

    now = queueing.status(job_id)
    assert now["status"] == "pending"
    assert f"job_{job_id}/status.json" in now["error_message"]
    assert file.read_text() == '{"status": "running", '

    file.write_text(json.dumps({"status": "pending"}))
    wait_until(lambda: queueing.status(job_id)["error_message"] is None, "the mended file is read")
