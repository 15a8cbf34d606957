from tests.server import Server, wait_until


def test_stop_cancels_a_waiting_job_at_once(queueing: Server) -> None:
    job_id = queueing.start()

    reply = queueing.post(f"/training/stop/{job_id}")

    assert (reply.status_code, reply.json()) == (
        200,
        {
            "job_id": job_id,
            "status": "cancelled",
            "message": f"Training job {job_id} cancelled successfully",
        },
    )
    assert queueing.status(job_id)["status"] == "cancelled"


def test_stop_ends_a_running_trainer_and_keeps_its_work(training: Server) -> None:
    job_id = training.start(model_name="toy", training_config={"max_steps": 100_000, "save_steps": 100_000})
    training.wait_for(job_id, "running")

    wait_until(lambda: training.status(job_id)["current_step"] > 0, "a step is done")
    running = training.status(job_id)

    reply = training.post(f"/training/stop/{job_id}")

    now = training.status(job_id)
    assert (running["status"], running["started_at"][-1:]) == ("running", "Z")
    assert running["adapter_path"] == f"./training_jobs/job_{job_id}/adapter"
    assert running["progress"] < 100
    assert reply.status_code == 200
    assert now["status"] == "cancelled"
    assert now["adapter_path"] is None
    checkpoints = training.job_folder(job_id) / "checkpoints"
    assert [path.name for path in checkpoints.iterdir()] == [f"step-{now['current_step']}"]
    assert training.get("/health").json()["slots"]["busy"] == 0


def test_stop_refuses_a_finished_job(queueing: Server) -> None:
    job_id = queueing.start()
    queueing.post(f"/training/stop/{job_id}")

    reply = queueing.post(f"/training/stop/{job_id}")

    assert (reply.status_code, reply.json()) == (
        400,
        {"error": f"Job {job_id} cannot be cancelled: it is already cancelled"},
    )
