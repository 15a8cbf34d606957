"""A training on preferences as a whole: it raises the margin, however it is computed, and however often it is begun."""

import hashlib
import json
import math
import os
from pathlib import Path
from typing import Any

import pytest

from runtime.messages.forecast import Question
from runtime.trainer import timing
from runtime.trainer.fit import Fit
from runtime.trainer.forecast import make_forecast
from runtime.trainer.preparation import Ready, prepare
from runtime.trainer.progress import Progress
from state import metrics
from state.errors import ServiceError
from state.job_rows import found
from state.jobs import JobFolder, read_job
from state.root import DataRoot
from tests import jobs, preferences

TRAINING = {"method": "dpo", "num_epochs": 4, "batch_size": 2, "gradient_accumulation_steps": 1, "logging_steps": 2}
MORE = [preferences.chat(f"Say {word}", f"print('{word}')", f"no {word} " * 3) for word in ("a", "b", "c", "d", "e")]


def _job(root: Path, name: str = "job_toy", **training: Any) -> JobFolder:
    """12 steps, unless `training` says otherwise."""
    folder = jobs.make(root, name, adapter_name=name, training_config=TRAINING | training)
    preferences.write(folder.train_file, *MORE)
    return folder


def test_preferences_raise_the_margin_of_what_they_prefer(root: Path) -> None:
    folder = _job(root, num_epochs=10, save_steps=15)
    preferences.write(folder.eval_file, *MORE[:3])

    jobs.train_here(folder)

    points = metrics.read(folder.metrics_file)
    first, last = points[0], [point for point in points if point.loss is not None][-1]
    assert first.loss == pytest.approx(0.6931, abs=1e-3)  # log 2: it is its own reference
    assert first.rewards_margins == pytest.approx(0, abs=1e-3)
    assert last.loss is not None
    assert last.loss < 0.5
    assert last.rewards_margins is not None
    assert last.rewards_margins > 0.3
    assert last.rewards_accuracies == 1.0
    assert last.rewards_chosen is not None
    assert last.rewards_rejected is not None
    assert last.rewards_margins == pytest.approx(last.rewards_chosen - last.rewards_rejected)
    evaluations = [point for point in points if point.eval_loss is not None]
    assert [point.step for point in evaluations] == [15, 30]
    assert evaluations[-1].eval_loss is not None
    assert evaluations[-1].eval_loss < 0.55
    assert evaluations[-1].eval_rewards_accuracies == 1.0
    assert jobs.status(folder).metrics.train_loss == last.loss
    record = json.loads((folder.adapter / "adapter_config.json").read_text())
    assert record["lora_dropout"] == 0.0  # though the job says 0.05: preferences are learned without


def test_pairs_are_computed_whole_however_short_the_rows(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    precision = {"precision": "float32", "logging_steps": 1, "batch_size": 5}
    long, short = _job(root, "long", **precision), _job(root, "short", **precision)
    jobs.train_here(long)
    monkeypatch.setattr(Ready, "fit", lambda _: Fit("layers", 1))

    jobs.train_here(short)

    for one, other in zip(*(metrics.read(folder.metrics_file) for folder in (long, short)), strict=True):
        assert (other.loss, other.grad_norm) == pytest.approx((one.loss, one.grad_norm), rel=1e-3)
        assert other.rewards_margins == pytest.approx(one.rewards_margins, abs=1e-4)


def test_accumulated_pairs_equal_a_larger_batch_and_a_line_is_the_mean_over_its_pairs(root: Path) -> None:
    shared = {"precision": "float32"}
    large = _job(root, "large", batch_size=4, gradient_accumulation_steps=1, logging_steps=2, **shared)
    small = _job(root, "small", batch_size=1, gradient_accumulation_steps=4, logging_steps=1, **shared)

    jobs.train_here(large)
    jobs.train_here(small)

    each = {point.step: point for point in metrics.read(small.metrics_file)}
    lines = metrics.read(large.metrics_file)[2:]
    assert [line.step for line in lines] == [4, 6, 8]
    for line in lines:
        before, last = each[line.step - 1], each[line.step]  # of 4 pairs, and of the epoch's fifth
        for name in ("loss", "rewards_margins", "logps_rejected"):
            expected = (4 * getattr(before, name) + getattr(last, name)) / 5
            assert getattr(line, name) == pytest.approx(expected, rel=1e-6)


class _Killed(BaseException):
    pass


def test_a_run_that_was_killed_ends_as_one_that_was_not_and_has_one_reference(
    root: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    whole, killed = (_job(root, name, save_steps=5, loss_type="ipo", beta=0.3) for name in ("whole", "killed"))
    jobs.train_here(whole)
    own = Progress.step

    def dies(progress: Progress, taken: Any) -> None:
        own(progress, taken)
        if progress.position.step == 8:
            raise _Killed

    with monkeypatch.context() as patched:
        patched.setattr(Progress, "step", dies)
        with pytest.raises(_Killed):
            jobs.train_here(killed)
    reference = killed.tokens / "train" / "reference.f32"
    os.utime(reference, (1, 1))

    with caplog.at_level("INFO"):
        jobs.train_here(killed)

    assert "Going on from step-5" in caplog.text
    assert reference.stat().st_mtime == 1
    assert jobs.weights(killed) == jobs.weights(whole)
    timeless = [
        [
            (point.step, point.loss, point.rewards_margins, point.logps_chosen)
            for point in metrics.read(each.metrics_file)
        ]
        for each in (whole, killed)
    ]
    assert timeless[0] == timeless[1]


@pytest.mark.parametrize(
    "kind",
    [
        {"modules_to_save": ["lm_head", "norm"], "use_rslora": True},
        {"use_dora": True, "bias": "all"},
    ],
)
def test_a_run_is_its_own_reference_at_first_whatever_is_trained_and_whatever_it_goes_on_from(
    root: Path, kind: dict[str, Any]
) -> None:
    """And evaluations of preferences stop it early, and choose its adapter."""
    looked_at = {"eval_steps": 1, "keep": "best", "early_stopping": {"patience": 1, "min_delta": 10.0}}
    before = jobs.make(
        root, "job_before", adapter_name="before", lora_config=kind, training_config=TRAINING | looked_at
    )
    preferences.write(before.train_file, *MORE)
    preferences.write(before.eval_file, *MORE[:2])
    after = jobs.make(root, "job_after", init_adapter="before", training_config=TRAINING | {"save_steps": 2})
    preferences.write(after.train_file, *MORE)

    jobs.train_here(before)
    jobs.train_here(after)

    for folder in (before, after):
        first = metrics.read(folder.metrics_file)[0]
        assert first.loss == pytest.approx(math.log(2), abs=1e-3)
        assert first.rewards_margins == pytest.approx(0, abs=1e-3)
    evaluated = [point for point in metrics.read(before.metrics_file) if point.eval_loss is not None]
    assert [point.step for point in evaluated] == [1, 2]  # the second lowers the loss by less than min_delta
    assert evaluated[1].eval_rewards_margins is not None
    assert evaluated[1].eval_token_accuracy is None
    assert jobs.status(before).stopped_early is not None
    record = json.loads((before.adapter / "adapter.json").read_text())
    assert record["metrics"]["eval_loss"] == min(point.eval_loss or 9 for point in evaluated)
    assert record["training_config"]["lora_dropout"] == 0.0
    by = [
        json.loads((each.tokens / "train" / "reference.json").read_text())["init_adapter"] for each in (before, after)
    ]
    assert by == [None, hashlib.sha256(jobs.weights(before)).hexdigest()]


def test_a_pair_that_does_not_fit_is_refused_with_the_length_that_would(
    root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = _job(root)
    monkeypatch.setenv("LATHE_MEMORY_MB", "10")

    with pytest.raises(ServiceError, match=r"a pair of documents of \d+ tokens takes"):
        jobs.train_here(folder)


def test_a_plan_counts_pairs_and_the_time_of_the_reference(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = _job(root)
    preferences.write(folder.eval_file, *MORE[:2])
    job = read_job(folder)
    rows = found(DataRoot.at(root), folder, job)
    planned = make_forecast(Question(str(root), job, rows.train, rows.held_out, str(root / "plan")))
    ready = prepare(DataRoot.at(root), job, rows, root / "again", None)
    monkeypatch.setattr(timing, "LONG_STEP_S", math.inf)  # however slow the machine is
    monkeypatch.setattr(timing, "_seconds_a_token", lambda *_: 1.0)

    seconds, _ = timing.estimate(ready, ready.fit(), job)

    tokens, evaluated = (int(part.rows.lengths.sum()) for part in (ready.data.train, ready.data.held_out) if part)
    pairs = [sum(map(len, documents)) for documents in ready.data.train.rows]
    assert (planned.num_examples, planned.steps_per_epoch, planned.total_steps) == (5, 3, 12)
    assert (planned.tokens_per_epoch, planned.fits) == (sum(pairs), True)
    assert ready.data.longest == max(pairs)
    assert planned.row_tokens is not None
    assert planned.row_tokens >= max(pairs)
    once_forward = (tokens + evaluated) / 3
    assert seconds == pytest.approx(12 * tokens / 3 + once_forward + evaluated / 3)
