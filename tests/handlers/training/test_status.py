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


def test_a_waiting_job_has_every_field(queueing: Server) -> None:
    waiting = queueing.status(queueing.start())

    assert set(waiting) == FIELDS
    assert (waiting["status"], waiting["progress"], waiting["started_at"]) == ("pending", 0.0, None)


def test_status_and_log_tell_a_job_up_to_its_end(training: Server) -> None:
    """Of a running job, test_stop.py tells more: it waits for the end of none."""
    job_id = training.start(
        model_name="toy",
        train_texts=[f"number {n}" for n in range(8)],
        eval_texts=["number 9"],
        training_config={"num_epochs": 5, "gradient_accumulation_steps": 1, "logging_steps": 5},
    )
    seen: list[dict[str, Any]] = []

    def ended() -> bool:
        seen.append(training.status(job_id))
        return bool(seen[-1]["status"] == "completed")

    wait_until(ended, "the job is completed")

    progress = [now["progress"] for now in seen]
    assert progress == sorted(progress)
    assert all((now["progress"] == 100.0) == (now["status"] == "completed") for now in seen)
    done = seen[-1]
    assert (done["current_step"], done["total_steps"]) == (40, 40)
    assert done["current_loss"] > 0
    assert done["metrics"]["train_loss"] > 0
    assert done["metrics"]["eval_loss"] > 0
    assert done["error_message"] is None
    everything = training.get(f"/training/logs/{job_id}").json()["lines"]
    last = training.get(f"/training/logs/{job_id}", params={"lines": 1}).json()["lines"]
    assert any("Loading" in line and "NF4" in line for line in everything)
    assert last == everything[-1:]
    assert "Completed: the adapter is adapters/" in last[0]


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
