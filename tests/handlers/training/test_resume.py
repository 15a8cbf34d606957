import json

import pytest

from state import metrics
from tests.server import Server, wait_until


def test_a_cancelled_job_goes_on_from_its_checkpoint_to_the_result_it_would_have_had(training: Server) -> None:
    settings = {"max_steps": 160, "logging_steps": 16, "save_steps": 40, "learning_rate": 0.01}
    whole, stopped = (training.start(model_name="toy", training_config=settings) for _ in range(2))
    training.wait_for(whole, "completed")
    training.wait_for(stopped, "running")
    wait_until(lambda: training.status(stopped)["current_step"] > 5, "some steps are done")
    training.post(f"/training/stop/{stopped}")
    halfway = training.status(stopped)["current_step"]

    reply = training.post(f"/training/resume/{stopped}")
    done = training.wait_for(stopped, "completed")

    assert (reply.status_code, reply.json()) == (
        200,
        {
            "job_id": stopped,
            "status": "resumed",
            "message": f"Training job {stopped} resumed successfully",
        },
    )
    assert 0 < halfway < 160
    assert done["current_step"] == 160
    shown = [training.get(f"/training/jobs/{job_id}").json() for job_id in (whole, stopped)]
    assert [job["resumed_from_step"] for job in shown] == [None, halfway]
    assert not (training.job_folder(stopped) / "stop").exists()
    curves = [
        [(point.step, point.loss) for point in metrics.read(training.job_folder(job_id) / "metrics.jsonl")]
        for job_id in (whole, stopped)
    ]
    assert curves[0] == curves[1]
    adapters = [training.job_folder(job_id) / "adapter" / "adapter_model.safetensors" for job_id in (whole, stopped)]
    assert adapters[0].read_bytes() == adapters[1].read_bytes()


def test_a_failed_job_is_resumed_when_its_cause_is_mended(training: Server) -> None:
    job_id = training.start(model_name="toy", training_config={"max_steps": 2})
    file = training.job_folder(job_id) / "data" / "train.jsonl"
    good = file.read_text()
    file.write_text("not json\n")
    training.wait_for(job_id, "failed")

    file.write_text(good)
    reply = training.post(f"/training/resume/{job_id}")

    assert reply.status_code == 200
    assert training.wait_for(job_id, "completed")["error_message"] is None


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
