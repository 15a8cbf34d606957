from tests.server import Server


def test_jobs_are_listed_the_newest_first(queueing: Server) -> None:
    first, second = queueing.start(), queueing.start()

    reply = queueing.get("/training/jobs").json()

    assert [job["job_id"] for job in reply["jobs"]][:2] == [second, first]
    assert reply["total"] == len(reply["jobs"])
    assert set(reply["jobs"][0]) == {
        "job_id",
        "model_name",
        "status",
        "progress",
        "created_at",
        "started_at",
        "completed_at",
    }
