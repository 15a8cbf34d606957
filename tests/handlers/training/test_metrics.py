from tests.server import Server


def test_metrics_are_the_curve_of_the_run(training: Server) -> None:
    job_id = training.start(
        model_name="toy", eval_texts=["number 9"], training_config={"max_steps": 4, "logging_steps": 2}
    )
    training.wait_for(job_id, "completed")

    reply = training.get(f"/training/metrics/{job_id}").json()

    assert (reply["job_id"], reply["total"]) == (job_id, 4)
    *lines, evaluation = reply["metrics"]
    assert [line["step"] for line in lines] == [1, 2, 4]
    assert {"step", "epoch", "loss", "learning_rate", "grad_norm", "tokens", "tokens_per_second", "memory_mb"} < set(
        lines[0]
    )
    assert evaluation["step"] == 4
    assert evaluation["eval_loss"] > 0


def test_a_line_torn_by_a_crash_is_passed_over(queueing: Server) -> None:
    job_id = queueing.start()
    file = queueing.job_folder(job_id) / "metrics.jsonl"
    file.write_text('{"step":1,"epoch":0.5,"loss":2.0}\n{"step":2,"epo')

    reply = queueing.get(f"/training/metrics/{job_id}").json()

    assert reply["metrics"] == [{"step": 1, "epoch": 0.5, "loss": 2.0}]
