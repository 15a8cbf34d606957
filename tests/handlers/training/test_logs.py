from tests.server import Server


def test_logs_are_the_end_of_the_trainers_words(training: Server) -> None:
    job_id = training.start(model_name="toy", training_config={"max_steps": 1})
    training.wait_for(job_id, "completed")

    everything = training.get(f"/training/logs/{job_id}").json()["lines"]
    last = training.get(f"/training/logs/{job_id}", params={"lines": 1}).json()["lines"]

    assert any("Loading" in line and "NF4" in line for line in everything)
    assert last == everything[-1:]
    assert "Completed: the adapter is adapters/" in last[0]


def test_a_number_of_lines_that_cannot_be_meant_is_refused(queueing: Server) -> None:
    job_id = queueing.start()

    assert queueing.get(f"/training/logs/{job_id}", params={"lines": "many"}).status_code == 400
    assert "lines must be at least 1" in queueing.get(f"/training/logs/{job_id}", params={"lines": 0}).text
    assert queueing.get(f"/training/logs/{job_id}").json()["lines"] == []
