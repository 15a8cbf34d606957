"""Evaluations, the best adapter and samples while a run trains: what they keep, and that they change nothing."""

import json
from pathlib import Path
from typing import Any

import msgspec
import pytest

from runtime.trainer import monitoring, recipe
from runtime.trainer.evaluation import Evaluated
from runtime.trainer.run import Run, compute_gradients
from state import metrics, samples
from state.jobs import JobFolder
from tests import jobs

ASKED = ["### Instruction:\nName number 3\n\n### Response:\n", [{"role": "user", "content": "Name number 3"}]]
LOOKED_AT: dict[str, Any] = {"eval_texts": jobs.TEXTS[:3], "sample_prompts": ASKED, "sample_tokens": 2}
LOSSES = {2: 3.0, 4: 1.9, 6: 1.95, 8: 1.91, 10: 1.8}
PATIENT = {
    "num_epochs": 4,  # 12 steps
    "eval_steps": 2,
    "save_steps": 3,
    "logging_steps": 1,
    "keep": "best",
    "early_stopping": {"patience": 2},
}


class Cut(Exception):
    """As a kill would: nothing is written any more."""


def _script(monkeypatch: pytest.MonkeyPatch, losses: dict[int, float]) -> None:
    """Have the evaluations come to these losses, by their step."""
    own = monitoring.Monitor._evaluate

    def evaluate(self: monitoring.Monitor) -> None:
        found = Evaluated(loss=losses.get(self._progress.position.step, 9.0), token_accuracy=0.5)
        monkeypatch.setattr(monitoring, "evaluate", lambda *_: found)
        own(self)

    monkeypatch.setattr(monitoring.Monitor, "_evaluate", evaluate)


def _train_cut(folder: JobFolder, step: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """Train until step `step` (from 1) is computed, and no further."""

    def cut_off(run: Run, at: int) -> Any:
        if at + 1 == step:
            raise Cut
        return compute_gradients(run, at)

    with monkeypatch.context() as patched:
        patched.setattr(recipe, "compute_gradients", cut_off)
        with pytest.raises(Cut):
            jobs.train_here(folder)


def _record(folder: JobFolder) -> dict[str, Any]:
    return dict(json.loads((folder.adapter / "adapter.json").read_text())["metrics"])


def _curve(folder: JobFolder) -> list[tuple[int, float | None, float | None]]:
    return [(point.step, point.loss, point.eval_loss) for point in metrics.read(folder.metrics_file)]


def _adapter_after(folder: JobFolder, step: int) -> bytes:
    return (folder.checkpoint(step) / "adapter" / "adapter_model.safetensors").read_bytes()


@pytest.fixture(scope="module")
def steps(tmp_path_factory: pytest.TempPathFactory, toy: Path) -> JobFolder:
    """A run that nothing looked at, with every step's adapter."""
    root = tmp_path_factory.mktemp("steps")
    (root / "models").mkdir()
    (root / "models" / "toy").symlink_to(toy)
    every = {"num_epochs": 4, "save_steps": 1, "save_total_limit": 99, "logging_steps": 1}
    folder = jobs.make(root, training_config=every)
    jobs.train_here(folder)
    return folder


def test_a_run_that_is_looked_at_after_every_step_ends_in_the_same_bytes(root: Path, steps: JobFolder) -> None:
    folder = jobs.make(root, **LOOKED_AT, training_config={"num_epochs": 4, "eval_steps": 1})

    jobs.train_here(folder)

    assert jobs.weights(folder) == jobs.weights(steps)
    evaluated = [point for point in metrics.read(folder.metrics_file) if point.eval_loss is not None]
    assert [point.step for point in evaluated] == list(range(1, 13))
    assert all(point.eval_token_accuracy is not None for point in evaluated)
    written = samples.read(folder.samples_file)
    assert [sample.step for sample in written] == [step for step in range(13) for _ in ASKED]
    assert msgspec.to_builtins([sample.prompt for sample in written[:2]]) == ASKED
    assert _record(folder)["best_step"] is None


@pytest.mark.parametrize("cut", [None, 5, 8])
def test_a_run_stops_early_and_publishes_its_best_adapter_whether_or_not_it_was_cut_off(
    cut: int | None, root: Path, steps: JobFolder, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Cut with its last checkpoint before the best evaluation, and behind it."""
    _script(monkeypatch, LOSSES)
    folder = jobs.make(root, **LOOKED_AT, training_config=PATIENT)

    if cut is not None:
        _train_cut(folder, cut, monkeypatch)
    jobs.train_here(folder)

    assert jobs.weights(folder) == _adapter_after(steps, 4)
    status = jobs.status(folder)
    assert (status.status, status.progress, status.current_step, status.total_steps) == ("completed", 100.0, 8, 12)
    assert status.stopped_early == (
        "Ended after step 8 of 12: 2 evaluations in a row have not lowered the loss; "
        "the lowest was 1.9000, after step 4"
    )
    assert status.metrics.eval_loss == 1.91
    record = _record(folder)
    assert (record["best_step"], record["eval_loss"], record["training_steps"]) == (4, 1.9, 8)
    assert [step for step, _, loss in _curve(folder) if loss] == [2, 4, 6, 8]
    assert [loss for _, loss, _ in _curve(folder) if loss] == jobs.losses(steps)[:8]
    written = [sample.step for sample in samples.read(folder.samples_file)]
    assert written == [step for step in (0, 2, 4, 6, 8) for _ in ASKED]
    assert {path.name for path in folder.checkpoints.iterdir()} == {"best-4", "step-6", "step-8"}


def test_the_best_adapter_of_a_checkpoint_stays_while_a_later_best_one_may_be_undone(
    root: Path, steps: JobFolder, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The run goes on from before the later one, and comes to another loss: as on a GPU that does not repeat itself."""
    folder = jobs.make(root, **LOOKED_AT, training_config=PATIENT)
    with monkeypatch.context() as patched:
        _script(patched, {2: 3.0, 4: 1.0})
        _train_cut(folder, 6, patched)
    assert {path.name for path in folder.checkpoints.iterdir()} == {"step-3", "best-2", "best-4"}

    _script(monkeypatch, {4: 3.5, 6: 3.5})
    jobs.train_here(folder)

    assert _record(folder)["best_step"] == 2
    assert jobs.weights(folder) == _adapter_after(steps, 2)


def test_a_best_adapter_that_is_lost_is_never_claimed(
    root: Path, steps: JobFolder, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    _script(monkeypatch, LOSSES)
    folder = jobs.make(root, **LOOKED_AT, training_config=PATIENT)
    _train_cut(folder, 8, monkeypatch)
    (folder.best(4) / "adapter_model.safetensors").unlink()

    jobs.train_here(folder)

    assert "The adapter of step 4, the best one, is lost: the last step's is published" in caplog.text
    assert jobs.weights(folder) == _adapter_after(steps, 8)
    record = _record(folder)
    assert (record["best_step"], record["eval_loss"]) == (None, 1.91)


def test_samples_need_no_evaluation_rows_and_a_job_that_begins_anew_forgets_them(root: Path) -> None:
    settings = {"max_steps": 3, "save_steps": 2}
    folder = jobs.make(root, sample_prompts=["1 +"], sample_tokens=1, training_config=settings)
    jobs.train_here(folder)
    first = samples.read(folder.samples_file)
    folder.status_file.unlink()

    jobs.train_here(folder)

    assert [sample.step for sample in first] == [0, 2, 3]
    assert samples.read(folder.samples_file) == first


def test_the_adapters_of_the_last_epochs_are_kept_to_the_bit_and_evaluated(
    toy: Path, tmp_path: Path, steps: JobFolder, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "models").mkdir()
    (tmp_path / "models" / "toy").symlink_to(toy)
    kept = {"num_epochs": 4, "keep_epochs": 2, "save_steps": 4, "logging_steps": 1}  # 12 steps
    folder = jobs.make(tmp_path, training_config=kept, eval_texts=jobs.TEXTS[:3])
    _train_cut(folder, 8, monkeypatch)
    assert sorted(folder.epoch_steps()) == [3, 6]

    jobs.train_here(folder)  # from step 4

    assert sorted(folder.epoch_steps()) == [6, 9]
    for step in (6, 9):
        assert (folder.epoch(step) / "adapter_model.safetensors").read_bytes() == _adapter_after(steps, step)
    assert [step for step, _, loss in _curve(folder) if loss is not None] == [3, 4, 6, 8, 9, 12]  # and every save_steps
