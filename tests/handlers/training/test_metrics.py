import json
import os
import re
from collections.abc import Callable

from tests.server import Server


def test_metrics_are_the_curve_of_the_run(queueing: Server, train_here: Callable[..., str]) -> None:
    job_id = train_here(eval_texts=["number 9"], training_config={"max_steps": 4, "logging_steps": 2})

    reply = queueing.get(f"/training/metrics/{job_id}").json()

    assert (reply["job_id"], reply["total"]) == (job_id, 4)
    *lines, evaluation = reply["metrics"]
    assert [line["step"] for line in lines] == [1, 2, 4]
    assert {"step", "epoch", "loss", "learning_rate", "grad_norm", "tokens", "tokens_per_second", "memory_mb"} < set(
        lines[0]
    )
    assert evaluation["step"] == 4
    assert evaluation["eval_loss"] > 0
    row = next(row for row in queueing.get("/training/jobs?limit=100").json()["jobs"] if row["job_id"] == job_id)
    assert [row[name] for name in ("tokens_per_second", "memory_mb")] == [
        lines[-1][name] for name in ("tokens_per_second", "memory_mb")
    ]
    assert (row["step"], row["epoch"], row["eta_s"], len(row["spark"])) == (4, evaluation["epoch"], None, 3)
    job = queueing.get(f"/training/jobs/{job_id}").json()
    assert row.items() <= job.items()
    assert job["written"]["training_config"]["max_steps"] == 4
    assert (job["config"]["training_config"]["batch_size"], job["config"]["lora_config"]["r"]) == (1, 4)
    assert job["resolved"]["warmup_steps"] >= 0
    assert "eval_texts" not in job["config"]
    tokens = sum(line["tokens"] for line in lines)
    assert json.loads((queueing.job_folder(job_id) / "status.json").read_text())["tokens"] == tokens
    told = queueing.http.get(f"http://localhost:{queueing.port}/metrics").text
    counted = dict(re.findall(r"^lathe_trained_(steps|tokens)_total (\S+)$", told, re.MULTILINE))
    assert float(counted["steps"]) >= 4
    assert float(counted["tokens"]) >= tokens


def test_a_line_torn_by_a_crash_is_passed_over(queueing: Server) -> None:
    job_id = queueing.start()
    file = queueing.job_folder(job_id) / "metrics.jsonl"
    file.write_text('{"step":1,"epoch":0.5,"loss":2.0}\n{"step":2,"epo')

    reply = queueing.get(f"/training/metrics/{job_id}").json()

    assert reply["metrics"] == [{"step": 1, "epoch": 0.5, "loss": 2.0}]


def test_a_curve_or_log_that_cannot_be_read_is_refused_in_words_and_its_job_is_listed_all_the_same(
    queueing: Server,
) -> None:
    job_id = queueing.start()
    folder = queueing.job_folder(job_id)
    status = json.loads((folder / "status.json").read_text())
    (folder / "status.json").write_text(json.dumps({**status, "status": "failed"}))
    (folder / "metrics.jsonl").mkdir()
    os.mkfifo(folder / "train.log")

    refused = [queueing.get(f"/training/{what}/{job_id}") for what in ("metrics", "logs")]
    row = queueing.get("/training/jobs?limit=1").json()["jobs"][0]
    shown = queueing.get(f"http://localhost:{queueing.port}/v1/fine_tuning/jobs?limit=1").json()["data"][0]

    assert [(reply.status_code, reply.json()) for reply in refused] == [
        (400, {"error": f"job_{job_id}/metrics.jsonl: Is a directory"}),
        (400, {"error": f"job_{job_id}/train.log: is a pipe"}),
    ]
    assert (row["job_id"], row["spark"]) == (job_id, [])
    assert (shown["lathe"]["job_id"], shown["trained_tokens"]) == (job_id, 0)


def test_a_curve_goes_on_behind_what_was_told(queueing: Server) -> None:
    job_id = queueing.start()
    file = queueing.job_folder(job_id) / "metrics.jsonl"
    file.write_text('{"step":1,"epoch":0.5,"loss":2.0}\n')
    first = queueing.get(f"/training/metrics/{job_id}").json()

    with file.open("a") as opened:
        opened.write('{"step":2,"epoch":1.0,"eval_loss":1.123456789}\n')
    more = queueing.get(f"/training/metrics/{job_id}?after={first['next']}&format=columns").json()
    file.write_text('{"step":1,"epoch":0.5,"loss":3.0}\n')
    anew = queueing.get(f"/training/metrics/{job_id}?after={more['next']}").json()

    assert (more["columns"], more["reset"]) == ({"step": [2], "epoch": [1.0], "eval_loss": [1.1235]}, False)
    assert (anew["metrics"], anew["reset"]) == ([{"step": 1, "epoch": 0.5, "loss": 3.0}], True)
    refused = queueing.get(f"/training/metrics/{job_id}?after=here")
    assert (refused.status_code, refused.json()) == (400, {"error": "after must be the next of an answer"})


def test_a_long_curve_keeps_its_spikes_with_few_points(queueing: Server) -> None:
    job_id = queueing.start()
    losses = {step: 9.0 if step == 777 else 1.0 + step / 1e6 for step in range(1, 100_001) if step != 500}
    lines = [f'{{"step":{step},"epoch":0.1,"loss":{loss}}}\n' for step, loss in losses.items()]
    lines.insert(499, '{"step":500,"epoch":0.1}\n')
    lines.insert(60_000, '{"step":60000,"epoch":0.1,"eval_loss":0.7}\n')
    (queueing.job_folder(job_id) / "metrics.jsonl").write_text("".join(lines))

    reply = queueing.get(f"/training/metrics/{job_id}?max_points=200").json()

    points = reply["metrics"]
    assert reply["total"] == 100_001
    assert 50 < len(points) <= 200
    assert [point["step"] for point in points] == sorted(point["step"] for point in points)
    assert (points[0]["step"], points[-1]["step"]) == (1, 100_000)
    assert {"step": 777, "epoch": 0.1, "loss": 9.0} in points
    assert {"step": 500, "epoch": 0.1} in points  # not a number
    assert {"step": 60_000, "epoch": 0.1, "eval_loss": 0.7} in points


def test_a_curve_is_told_as_a_table(queueing: Server) -> None:
    job_id = queueing.start()
    file = queueing.job_folder(job_id) / "metrics.jsonl"
    file.write_text('{"step":1,"epoch":0.5,"loss":2.0}\n{"step":1,"epoch":0.5,"eval_loss":1.5}\n')

    reply = queueing.get(f"/training/metrics/{job_id}?format=csv")

    assert reply.headers["content-type"].startswith("text/csv")
    assert reply.text == "step,epoch,loss,eval_loss\n1,0.5,2.0,\n1,0.5,,1.5\n"
