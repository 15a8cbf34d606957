"""A script for OpenAI's fine-tuning API: its client, as it is, trains, is interrupted, and asks what was made."""

import csv
import io
import json
import time

import openai
import pytest
from openai.types.fine_tuning import FineTuningJob
from openai.types.fine_tuning.jobs import FineTuningJobCheckpoint

from tests.server import Server

ROWS = [
    {"messages": [{"role": "user", "content": f"{n} + 1?"}, {"role": "assistant", "content": f"It is {n + 1}."}]}
    for n in range(8)
]
EPOCHS, STEPS = 20, 80


def test_openais_own_client_trains_a_model_and_asks_its_checkpoints(training: Server) -> None:
    c = openai.OpenAI(base_url=f"http://localhost:{training.port}/v1", api_key="x")
    train = ("train.jsonl", "".join(json.dumps(row) + "\n" for row in ROWS).encode())
    f = c.files.create(file=train, purpose="fine-tune")
    c.files.wait_for_processing(f.id)
    j = c.fine_tuning.jobs.create(
        model="toy",
        training_file=f.id,
        validation_file=f.id,
        suffix="demo",
        seed=1,
        metadata={"k": "v"},
        method={"type": "supervised", "supervised": {"hyperparameters": {"n_epochs": EPOCHS, "batch_size": 2}}},
        extra_body={"lathe": {"training_config": {"save_steps": 2}}},
    )
    assert next(iter(c.fine_tuning.jobs.list(limit=1, metadata={"k": "v"}))).id == j.id

    seen = _interrupted(c, training, j.id)
    while c.fine_tuning.jobs.retrieve(j.id).status not in ("succeeded", "failed", "cancelled"):
        time.sleep(0.1)

    j = c.fine_tuning.jobs.retrieve(j.id)
    assert (j.status, j.error) == ("succeeded", None)
    job_id = j.id.removeprefix("ftjob-")
    assert j.fine_tuned_model == f"toy-demo-{job_id[:8]}"
    points = training.get(f"/training/metrics/{job_id}").json()["metrics"]
    assert j.trained_tokens == sum(point.get("tokens") or 0 for point in points) > 0
    _check_events(c, j, seen)
    ck = list(c.fine_tuning.jobs.checkpoints.list(j.id, limit=2))
    _check_checkpoints(ck, j.fine_tuned_model)
    _check_result_file(c, j, ck[0].metrics.full_valid_loss)
    for m in (j.fine_tuned_model, ck[-1].fine_tuned_model_checkpoint):
        asked = c.chat.completions.create(model=m, messages=[{"role": "user", "content": "hi"}], max_tokens=2)
        assert (asked.model, c.models.retrieve(m).id) == (m, m)

    c.files.delete(f.id)
    c.models.delete(j.fine_tuned_model)
    assert list(c.fine_tuning.jobs.checkpoints.list(j.id)) == []
    with pytest.raises(openai.NotFoundError):
        c.models.retrieve(ck[-1].fine_tuned_model_checkpoint)


def _interrupted(c: openai.OpenAI, server: Server, shown: str) -> dict[str, object]:
    """Pause the job, resume it and kill its trainer; the figures of the events that were there by the pause."""
    job_id = shown.removeprefix("ftjob-")
    server.wait_for_step(job_id, 2)
    running = c.fine_tuning.jobs.retrieve(shown)
    assert (running.status, running.trained_tokens, running.fine_tuned_model) == ("running", None, None)
    assert running.estimated_finish is not None
    assert running.estimated_finish >= running.created_at
    assert list(c.fine_tuning.jobs.checkpoints.list(shown)) == []
    assert c.fine_tuning.jobs.pause(shown).status == "paused"  # type: ignore[comparison-overlap]
    seen = {e.id: e.data for e in c.fine_tuning.jobs.list_events(shown, limit=7)}
    assert c.fine_tuning.jobs.resume(shown).status == "queued"
    server.wait_for_going_on(job_id)
    server.kill_trainer(job_id)
    return seen


def _check_events(c: openai.OpenAI, j: FineTuningJob, seen: dict[str, object]) -> None:
    ev = list(c.fine_tuning.jobs.list_events(j.id, limit=50))
    assert len({e.id for e in ev}) == len(ev)
    assert [e.created_at for e in ev] == sorted((e.created_at for e in ev), reverse=True)
    assert ev[0].message == "The job has successfully completed"
    assert ev[-1].message == f"Created fine-tuning job: {j.id}"
    figures: list[dict[str, float]] = [e.data for e in ev if e.type == "metrics"][::-1]  # type: ignore[assignment]
    assert [data["step"] for data in figures if "full_valid_loss" not in data] == list(range(1, STEPS + 1))
    assert all(data["train_loss"] > 0 for data in figures)
    assert len(seen) > 3
    assert {e.id: e.data for e in ev if e.id in seen} == seen


def _check_checkpoints(ck: list[FineTuningJobCheckpoint], fine_tuned_model: str) -> None:
    assert [one.step_number for one in ck] == [80, 76, 72]
    assert ck[0].fine_tuned_model_checkpoint == fine_tuned_model
    assert ck[1].fine_tuned_model_checkpoint == f"{fine_tuned_model}:ckpt-step-76"
    assert all(one.metrics.full_valid_loss is not None and one.metrics.train_loss is not None for one in ck)


def _check_result_file(c: openai.OpenAI, j: FineTuningJob, last_loss: float | None) -> None:
    listed = {one.id: one for one in c.files.list(purpose="fine-tune-results")}
    text = c.files.content(j.result_files[0]).text
    assert listed[j.result_files[0]] == c.files.retrieve(j.result_files[0])
    assert listed[j.result_files[0]].bytes == len(text)
    assert text.startswith("step,train_loss,train_accuracy,valid_loss,valid_mean_token_accuracy\n1,")
    table = list(csv.DictReader(io.StringIO(text)))
    assert len(table) == STEPS
    assert (table[0]["valid_loss"], float(table[-1]["valid_loss"])) == ("", last_loss)
    with pytest.raises(openai.BadRequestError, match="delete the job instead"):
        c.files.delete(j.result_files[0])
