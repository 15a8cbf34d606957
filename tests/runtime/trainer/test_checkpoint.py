"""Which checkpoints are kept, and that one of them is enough to go on from."""

import errno
import gc
from pathlib import Path
from typing import Any

import psutil
import pytest
import torch
from safetensors.torch import save_file

from runtime.trainer import checkpoint
from runtime.trainer.checkpoint import Checkpoints, Position
from runtime.trainer.optimizer import Optimizer
from runtime.trainer.progress import peak_memory_mb
from state.jobs import JobFolder
from tests.processes import on_linux


class Saved:
    """A run's parameters, saved as PEFT would, without PEFT."""

    def __init__(self, folder: JobFolder, monkeypatch: pytest.MonkeyPatch, limit: int = 2, rows: int = 4) -> None:
        self.parameters = {
            "model.lora_A.default.weight": torch.nn.Parameter(torch.randn(rows, 3)),
            "model.bias": torch.nn.Parameter(torch.randn(4).bfloat16()),
        }
        self.optimizer = Optimizer(self.parameters, paged_8bit=False)
        self.checkpoints = Checkpoints(folder, self, self.optimizer, limit)  # type: ignore[arg-type]
        monkeypatch.setattr(checkpoint, "save_adapter", lambda model, target: model.save(target))

    def save(self, target: Path) -> None:
        target.mkdir()
        named = {name.replace(".default.", "."): value.detach() for name, value in self.parameters.items()}
        save_file(named, target / "adapter_model.safetensors")

    def step(self, position: Position) -> None:
        for parameter in self.parameters.values():
            parameter.grad = torch.randn_like(parameter)
        self.optimizer.clip()
        with self.checkpoints.updating():
            self.optimizer.step(0.01)
        self.checkpoints.save(position)

    def values(self) -> dict[str, Any]:
        return {name: value.detach().clone() for name, value in self.parameters.items()}


@pytest.fixture
def folder(tmp_path: Path) -> JobFolder:
    return JobFolder(tmp_path)


def _steps(folder: JobFolder) -> set[str]:
    return {path.name for path in folder.checkpoints.iterdir()}


def test_the_newest_ones_are_kept_and_the_best_one(folder: JobFolder, monkeypatch: pytest.MonkeyPatch) -> None:
    run = Saved(folder, monkeypatch)

    for step, eval_loss in [(1, 3.0), (2, 2.0), (3, 2.5), (4, 2.2), (5, None)]:
        run.step(Position(step=step, eval_loss=eval_loss, eval_step=step))

    assert _steps(folder) == {"step-2", "step-4", "step-5"}


def test_what_no_run_has_written_is_left_alone(folder: JobFolder, monkeypatch: pytest.MonkeyPatch) -> None:
    folder.checkpoints.mkdir()
    for name in ("step-0", "step-old", "notes"):
        (folder.checkpoints / name).mkdir()
    (folder.checkpoints / "step-1").write_text("a file")
    run = Saved(folder, monkeypatch, limit=1)

    for step in (2, 3, 4):
        run.step(Position(step=step))

    assert _steps(folder) == {"step-0", "step-old", "notes", "step-1", "step-4"}


def test_a_damaged_checkpoint_is_written_anew_and_costs_no_good_one(
    folder: JobFolder, monkeypatch: pytest.MonkeyPatch
) -> None:
    run = Saved(folder, monkeypatch)
    for step in (1, 2, 3, 4):
        run.step(Position(step=step))
    damaged = folder.checkpoint(4) / "trainer.pt"
    damaged.write_bytes(damaged.read_bytes()[:100])
    again = Saved(folder, monkeypatch)

    assert again.checkpoints.restore().step == 3
    again.step(Position(step=4))

    assert _steps(folder) == {"step-3", "step-4"}
    assert Saved(folder, monkeypatch).checkpoints.restore().step == 4


def test_a_restored_run_has_the_same_values_and_takes_the_same_next_step(
    folder: JobFolder, monkeypatch: pytest.MonkeyPatch
) -> None:
    run = Saved(folder, monkeypatch)
    run.step(Position(step=1))
    run.step(Position(step=2))
    between_the_steps = torch.get_rng_state()
    torch.randn(7)  # drawn by a step that is never finished
    run.checkpoints.save(Position(step=2, eval_step=2, eval_loss=1.0))
    expected = run.values()
    torch.manual_seed(1)
    restored = Saved(folder, monkeypatch)

    position = restored.checkpoints.restore()

    assert (position.step, position.eval_loss) == (2, 1.0)
    assert all(torch.equal(value, expected[name]) for name, value in restored.values().items())
    restored.step(Position(step=3))
    torch.set_rng_state(between_the_steps)
    run.step(Position(step=3))
    assert all(torch.equal(value, restored.values()[name]) for name, value in run.values().items())


def test_a_step_that_failed_half_way_is_not_saved(folder: JobFolder, monkeypatch: pytest.MonkeyPatch) -> None:
    run = Saved(folder, monkeypatch)
    run.step(Position(step=1))
    with monkeypatch.context() as patched:
        patched.setattr(run.optimizer, "_write_back", lambda: 1 / 0)  # after some values have changed
        with pytest.raises(ZeroDivisionError):
            run.step(Position(step=2))

    run.checkpoints.save(Position(step=1, eval_step=1, eval_loss=1.0))
    run.checkpoints.save(Position(step=2))

    assert _steps(folder) == {"step-1"}
    assert Saved(folder, monkeypatch).checkpoints.restore().eval_loss is None


def test_a_checkpoint_that_holds_all_values_itself_is_read(folder: JobFolder, monkeypatch: pytest.MonkeyPatch) -> None:
    """As they were written before the adapter's file was read for them."""
    run = Saved(folder, monkeypatch)
    run.step(Position(step=1))
    file = folder.checkpoint(1) / "trainer.pt"
    state = torch.load(file, weights_only=True)
    state["optimizer"]["values"] |= {"model.lora_A.default.weight": torch.full((4, 3), 7.0)}
    torch.save(state, file)

    run.checkpoints.restore()

    assert run.parameters["model.lora_A.default.weight"].tolist() == [[7.0] * 3] * 4


@on_linux
def test_a_full_disk_is_told_as_one(folder: JobFolder, monkeypatch: pytest.MonkeyPatch) -> None:
    run = Saved(folder, monkeypatch)
    run.step(Position(step=1))
    whole = Path.open

    def full(path: Path, mode: str = "r", **options: Any) -> Any:
        return Path("/dev/full").open("wb", buffering=0) if path.name == "trainer.pt" else whole(path, mode, **options)

    monkeypatch.setattr(Path, "open", full)

    with pytest.raises(OSError, match="No space left on device") as failed:
        run.step(Position(step=2))

    assert failed.value.errno == errno.ENOSPC
    assert _steps(folder) == {"step-1"}


@on_linux
def test_saving_takes_hardly_any_memory(folder: JobFolder, monkeypatch: pytest.MonkeyPatch) -> None:
    """The values and AdamW's two moments are 40 MB each; a copy of any of them would show."""
    run = Saved(folder, monkeypatch, rows=3_500_000)
    run.step(Position(step=1))
    gc.collect()
    Path("/proc/self/clear_refs").write_text("5")  # the kernel's: the peak begins anew
    before = psutil.Process().memory_info().rss / 2**20

    run.checkpoints.save(Position(step=1, eval_step=1, eval_loss=1.0))

    assert peak_memory_mb() - before < 15


def test_trained_values_are_stored_once(folder: JobFolder, monkeypatch: pytest.MonkeyPatch) -> None:
    run = Saved(folder, monkeypatch)
    run.step(Position(step=1))

    stored = torch.load(folder.checkpoint(1) / "trainer.pt", weights_only=True)["optimizer"]["values"]

    assert set(stored) == {"model.bias"}  # in float32; the adapter's file has it in bf16
