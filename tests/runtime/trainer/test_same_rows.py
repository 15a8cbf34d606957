"""Which rows a job takes: those that it holds out are evaluated on, and all its attempts take the same ones."""

import hashlib
import json
from pathlib import Path

import pytest
from msgspec import structs

from runtime.trainer import __main__ as trainer
from runtime.trainer.attempt import Attempt
from runtime.trainer.interruption import Cancelled
from state import job_rows, metrics, new_jobs
from state import jobs as state_jobs
from state.config import TrainingConfig
from state.errors import ServiceError
from state.jobs import Job, JobFolder, Status
from state.root import DataRoot
from state.row_source import RowSource
from tests import jobs
from tests.jobs import TEXTS

SETTINGS = {"validation_split": 0.3, "save_steps": 2}


def _lines(texts: list[str]) -> bytes:
    return b"".join(json.dumps({"text": text}, separators=(",", ":")).encode() + b"\n" for text in texts)


def _begin_again(folder: JobFolder) -> None:
    state_jobs.write_status(folder, structs.replace(jobs.status(folder), status="cancelled"))


def test_a_job_by_request_and_one_by_hand_hold_out_the_same_rows_and_become_the_same_adapter(root: Path) -> None:
    by_hand = jobs.make(root, adapter_name="by-hand", training_config=SETTINGS)
    written = state_jobs.read_job(by_hand)
    rows = job_rows.asked(DataRoot.at(root), structs.replace(written, train_texts=TEXTS))
    asked = structs.replace(written, adapter_name="asked")
    by_request = new_jobs.create(DataRoot.at(root), asked, rows.train, rows.held_out)

    for folder in (by_hand, by_request):
        jobs.train_here(folder)

    assert jobs.weights(by_hand) == jobs.weights(by_request)
    shown = [(folder.tokens / "eval" / "rows.jsonl").read_bytes() for folder in (by_hand, by_request)]
    held_out = [text for text in TEXTS if _lines([text]) in shown[0]]
    assert shown == [_lines(held_out)] * 2
    assert 0 < len(held_out) < len(TEXTS)
    evaluations = [point for point in metrics.read(by_hand.metrics_file) if point.eval_loss is not None]
    assert len(evaluations) > 1
    hashes = [
        hashlib.sha256(_lines(texts)).hexdigest()
        for texts in ([text for text in TEXTS if text not in held_out], held_out)
    ]
    created = state_jobs.read_job(by_request)
    told = json.loads((by_hand.adapter / "adapter.json").read_text())["training_config"]
    assert [created.data_sha256, created.eval_sha256] == hashes
    assert [told["data_sha256"], told["eval_sha256"]] == hashes
    assert [jobs.status(by_hand).data_sha256, jobs.status(by_hand).eval_sha256] == hashes


def test_a_job_does_not_go_on_from_a_checkpoint_with_other_rows(root: Path) -> None:
    folder = jobs.make(root, training_config={"save_steps": 3})
    rows = folder.train_file.read_text()
    jobs.train_here(folder)
    done = jobs.weights(folder)

    _begin_again(folder)
    folder.train_file.write_text(rows.replace("number 3", "number 4"))
    with pytest.raises(ServiceError, match=r"^train.jsonl: these are other rows .* trained on .* step 6\. Put back"):
        jobs.train_here(folder)

    folder.train_file.write_text(rows)
    folder.eval_file.write_text(rows)
    with pytest.raises(ServiceError, match=r"^eval.jsonl: these are other rows .* evaluated on"):
        jobs.train_here(folder)

    folder.eval_file.unlink()
    jobs.train_here(folder)
    assert jobs.weights(folder) == done


def test_rows_may_be_mended_before_the_first_checkpoint(root: Path, caplog: pytest.LogCaptureFixture) -> None:
    source = RowSource("train_texts", texts=TEXTS)
    job = Job(model_name="toy", training_config=TrainingConfig(max_steps=1))
    DataRoot.at(root).create()
    folder = new_jobs.create(DataRoot.at(root), job, source, None)
    state_jobs.write_status(folder, Status(status="failed", started_at=job.created_at, data_sha256="of other rows"))
    folder.train_file.write_bytes(_lines(TEXTS[:5]))

    jobs.train_here(folder)

    assert jobs.status(folder).data_sha256 == hashlib.sha256(_lines(TEXTS[:5])).hexdigest()
    assert "The rows are not those that the job had before" in caplog.text


def test_half_made_tokens_go_with_a_cancelled_job_and_with_the_next_attempt(root: Path) -> None:
    folder = jobs.make(root)
    half = folder.tokens / ".train.new"

    def cancelled() -> None:
        half.mkdir(parents=True)
        (half / "tokens.u32").write_bytes(b"half")
        raise Cancelled("stop")

    attempt = Attempt(folder)
    attempt.begin()
    trainer._outcome(attempt, cancelled)
    assert not half.exists()

    half.mkdir()
    Attempt(folder).begin()
    assert list(folder.tokens.iterdir()) == []
