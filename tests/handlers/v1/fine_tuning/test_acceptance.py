"""docs/from-openai.md keeps its word: OpenAI's client, as it is, trains, is interrupted, and asks what was made."""

import csv
import io
import json
import re
import shutil
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import openai
import pytest
from openai.types.fine_tuning import FineTuningJob, FineTuningJobEvent
from openai.types.fine_tuning.jobs import FineTuningJobCheckpoint

from tests.server import CHECKOUT, Server, wait_until

ROWS = [
    {"messages": [{"role": "user", "content": f"{n} + 1?"}, {"role": "assistant", "content": f"It is {n + 1}."}]}
    for n in range(8)
]
STEPS = 80  # of 20 epochs
STUCK = ("step 6", "step 10")  # the first trainer, which is paused there, and the second, which is killed


def test_the_pages_script_trains_a_model_and_asks_its_checkpoints(
    start_server: Callable[..., Server], toy: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its trainer is paused and killed on the way."""
    root = tmp_path / "root"
    shutil.copytree(toy, root / "models" / "toy")
    training = start_server(root=root, wrapper=[sys.executable, "-m", "tests.sticking_server", ",".join(STUCK)])
    start, wait, look, tidy = _blocks(training)
    (tmp_path / "train.jsonl").write_text("".join(json.dumps(row) + "\n" for row in ROWS))
    monkeypatch.chdir(tmp_path)
    script: dict[str, Any] = {}

    _run(start, script)
    c, job_id = script["client"], script["job"].id.removeprefix("ftjob-")
    assert next(iter(c.fine_tuning.jobs.list(limit=1, metadata={"team": "blue"}))).id == script["job"].id
    seen = _interrupted(c, training, script["job"].id)
    _run(wait, script)
    j = script["job"]
    assert (j.status, j.error) == ("succeeded", None)
    assert f"The trainer of job {job_id} is gone. It was ended by signal 9 (SIGKILL" in training.log.read_text()
    assert j.fine_tuned_model == f"toy-demo-{job_id[:8]}"
    points = training.get(f"/training/metrics/{job_id}").json()["metrics"]
    assert j.trained_tokens == sum(point.get("tokens") or 0 for point in points) > 0

    _run(look, script)
    _check_events(script["events"], j, seen)
    ck = script["checkpoints"]
    _check_checkpoints(ck, j.fine_tuned_model)
    assert [one.id for one in c.fine_tuning.jobs.checkpoints.list(j.id, limit=2)] == [one.id for one in ck]
    _check_result_file(c, j, script["curve"], ck[0].metrics.full_valid_loss)
    earliest = ck[-1].fine_tuned_model_checkpoint
    assert (script["answer"].model, c.models.retrieve(earliest).id) == (earliest, earliest)
    assert training.post(f"/adapters/{earliest}/load").status_code == 200
    assert training.get("/adapters").json()["current_adapter"] == earliest
    assert c.post("/unload_lora_adapter", body={"lora_name": earliest}, cast_to=str).startswith("Success")

    _run(tidy, script)
    assert list(c.fine_tuning.jobs.checkpoints.list(j.id)) == []
    with pytest.raises(openai.NotFoundError):
        c.models.retrieve(earliest)


def _blocks(server: Server) -> list[str]:
    """The page's script, of a smaller model on this server."""
    page = (CHECKOUT / "docs" / "from-openai.md").read_text()
    page = page.replace("localhost:5001", f"localhost:{server.port}").replace('"tiny-python"', '"toy"')
    return re.findall(r"```python\n(.*?)```", page, flags=re.DOTALL)


def _run(block: str, script: dict[str, Any]) -> None:
    exec(block, script)  # noqa: S102  the page's own script


def _interrupted(c: openai.OpenAI, server: Server, shown: str) -> dict[str, object]:
    """Pause the job, resume it and kill its trainer; the figures of the events that were there by the pause."""
    job_id = shown.removeprefix("ftjob-")
    wait_until((server.root / "stuck").exists, "its trainer is stuck")
    running = c.fine_tuning.jobs.retrieve(shown)
    assert (running.status, running.trained_tokens, running.fine_tuned_model) == ("running", None, None)
    assert running.estimated_finish is not None
    assert running.estimated_finish >= running.created_at
    assert list(c.fine_tuning.jobs.checkpoints.list(shown)) == []
    assert c.fine_tuning.jobs.pause(shown).status == "paused"  # type: ignore[comparison-overlap]
    seen = {e.id: e.data for e in c.fine_tuning.jobs.list_events(shown, limit=7)}
    assert c.fine_tuning.jobs.resume(shown).status in {"queued", "running"}
    server.wait_for_going_on(job_id)
    server.kill_trainer(job_id)
    return seen


def _check_events(ev: list[FineTuningJobEvent], j: FineTuningJob, seen: dict[str, object]) -> None:
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


def _check_result_file(c: openai.OpenAI, j: FineTuningJob, text: str, last_loss: float | None) -> None:
    listed = {one.id: one for one in c.files.list(purpose="fine-tune-results")}
    assert {one.purpose for one in listed.values()} == {"fine-tune-results"}
    assert listed.keys() < {one.id for one in c.files.list(limit=2)}
    assert listed[j.result_files[0]] == c.files.retrieve(j.result_files[0])
    assert listed[j.result_files[0]].bytes == len(text)
    assert text.startswith("step,train_loss,train_accuracy,valid_loss,valid_mean_token_accuracy\n1,")
    table = list(csv.DictReader(io.StringIO(text)))
    assert len(table) == STEPS
    assert (table[0]["valid_loss"], float(table[-1]["valid_loss"])) == ("", last_loss)
    with pytest.raises(openai.BadRequestError, match="delete the job instead"):
        c.files.delete(j.result_files[0])
