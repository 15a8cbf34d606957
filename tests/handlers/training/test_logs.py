from tests.server import Server


def test_a_number_of_lines_that_cannot_be_meant_is_refused(queueing: Server) -> None:
    job_id = queueing.start()

    assert queueing.get(f"/training/logs/{job_id}", params={"lines": "many"}).status_code == 400
    assert "lines must be at least 1" in queueing.get(f"/training/logs/{job_id}", params={"lines": 0}).text
    assert queueing.get(f"/training/logs/{job_id}").json()["lines"] == []
