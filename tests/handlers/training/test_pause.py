from collections.abc import Callable

import pytest

from tests.server import Server


def test_a_paused_job_waits_over_a_restart_until_it_is_resumed(start_server: Callable[..., Server]) -> None:
    server = start_server("--slots", "0")
    job_id = server.start(adapter_name="mine")

    reply = server.post(f"/training/pause/{job_id}")

    assert (reply.status_code, reply.json()) == (
        200,
        {"job_id": job_id, "status": "paused", "message": f"Training job {job_id} paused successfully"},
    )
    server.kill()
    server = start_server("--slots", "0")
    assert (server.status(job_id)["status"], server.status(job_id)["completed_at"]) == ("paused", None)
    assert [job["job_id"] for job in server.get("/training/jobs?status=paused").json()["jobs"]] == [job_id]
    taken = server.post("/training/start", {"model_name": "tiny-python", "train_texts": ["x"], "adapter_name": "mine"})
    assert taken.status_code == 400
    assert job_id in taken.json()["error"]
    assert server.delete(f"/training/jobs/{job_id}").json() == {
        "error": f"Job {job_id} is paused: stop it before deleting it"
    }

    assert server.post(f"/training/resume/{job_id}").status_code == 200

    assert server.status(job_id)["status"] == "pending"
    assert not (server.job_folder(job_id) / "pause").exists()


@pytest.mark.parametrize(("first", "state"), [("pause", "paused"), ("stop", "cancelled")])
def test_pause_refuses_a_job_that_is_at_rest(queueing: Server, first: str, state: str) -> None:
    job_id = queueing.start()
    queueing.post(f"/training/{first}/{job_id}")

    reply = queueing.post(f"/training/pause/{job_id}")

    assert (reply.status_code, reply.json()) == (
        400,
        {"error": f"Job {job_id} cannot be paused: it is already {state}"},
    )


def test_a_paused_job_can_be_stopped(queueing: Server) -> None:
    job_id = queueing.start()
    queueing.post(f"/training/pause/{job_id}")

    assert queueing.post(f"/training/stop/{job_id}").status_code == 200

    assert queueing.status(job_id)["status"] == "cancelled"
