from collections.abc import Callable

from tests.server import Server


def test_delete_removes_an_ended_jobs_folder(queueing: Server) -> None:
    job_id = queueing.start()
    queueing.post(f"/training/stop/{job_id}")

    reply = queueing.delete(f"/training/jobs/{job_id}")

    assert (reply.status_code, reply.json()["status"]) == (200, "deleted")
    assert not queueing.job_folder(job_id).exists()
    assert queueing.get(f"/training/status/{job_id}").status_code == 404


def test_delete_refuses_a_job_that_has_not_ended(queueing: Server) -> None:
    job_id = queueing.start()

    reply = queueing.delete(f"/training/jobs/{job_id}")

    assert (reply.status_code, reply.json()) == (400, {"error": f"Job {job_id} is pending: stop it before deleting it"})
    assert queueing.job_folder(job_id).exists()


def test_the_published_adapter_outlives_its_job(queueing: Server, train_here: Callable[..., str]) -> None:
    job_id = train_here(adapter_name="survivor", training_config={"max_steps": 1})
    files = {file.name: file.read_bytes() for file in (queueing.root / "adapters" / "survivor").iterdir()}

    queueing.delete(f"/training/jobs/{job_id}")

    assert {file.name: file.read_bytes() for file in (queueing.root / "adapters" / "survivor").iterdir()} == files
    assert queueing.get("/adapters/survivor").json()["problem"] is None
