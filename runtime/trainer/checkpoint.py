"""Checkpoints: all that a run needs to go on as if it had never stopped.

    checkpoints/step-<n>/adapter/       the adapter after step n, in PEFT's own layout
    checkpoints/step-<n>/trainer.pt     AdamW's state, the random generators', and trained values that are more exact
                                        than the adapter's file has them
    checkpoints/step-<n>/position.json  the step, what was measured but not logged yet, and the best evaluation so far

A checkpoint is built under a hidden name, flushed to the disk and renamed: it is complete or absent.
"""

import logging
import pickle
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Any

import torch
from msgspec import Struct
from peft import PeftModel
from safetensors import SafetensorError, safe_open

from runtime.trainer import lora
from runtime.trainer.optimizer import Optimizer
from runtime.trainer.preferences.figures import Figures
from state import folders, store
from state.adapters import WEIGHTS
from state.errors import BrokenFile
from state.jobs import JobFolder

UNREADABLE = (
    *(OSError, EOFError, BrokenFile, RuntimeError, KeyError, ValueError),
    *(pickle.UnpicklingError, SafetensorError),
)

log = logging.getLogger("trainer")


class Position(Struct, frozen=True, kw_only=True):
    """Where a run stands after `step` optimizer steps."""

    step: int = 0
    tokens: int = 0
    """Target tokens of these steps."""
    unlogged_loss: float = 0.0
    """Cross-entropy summed over the target tokens since the last log line."""
    unlogged_tokens: int = 0
    unlogged_pairs: Figures = Figures()
    """Of preferences: their figures since the last log line, the loss among them."""
    train_loss: float | None = None
    """The last logged one."""
    eval_loss: float | None = None
    eval_step: int = 0
    """The step after which `eval_loss` was measured."""
    best_loss: float | None = None
    """The lowest evaluation loss so far."""
    best_step: int = 0
    """The step after which it was measured; 0 before the first evaluation."""
    evaluations_in_vain: int = 0
    """Evaluations in a row that were not better, as early stopping counts them."""
    elapsed_s: float = 0.0


class Checkpoints:
    """One run's checkpoints. Saving takes no memory to speak of: all is written from where it lies."""

    def __init__(self, folder: JobFolder, model: PeftModel, optimizer: Optimizer, limit: int) -> None:
        """`limit` is how many are kept beside the one of the lowest evaluation loss."""
        self._folder = folder
        self._model = model
        self._optimizer = optimizer
        self._limit = limit
        self._random = _random_states()
        self._newest: tuple[int, int] | None = None
        self._is_whole = True

    @contextmanager
    def updating(self) -> Iterator[None]:
        """To be held while an optimizer step changes the trained values.

        After an exception in it the values are half of one step and half of the next, and `save` saves nothing. After
        its end, what the random generators draw belongs to the next step.
        """
        self._is_whole = False
        yield
        self._random = _random_states()
        self._is_whole = True

    def save(self, position: Position) -> None:
        """Write the checkpoint of the last whole step, durable when this returns, and remove old ones."""
        if not self._is_whole:
            log.warning("The last step failed half-way: nothing of it is saved")
            return
        known = position.step, position.eval_step
        if position.step == 0 or known == self._newest:
            return
        self._folder.checkpoints.mkdir(exist_ok=True)  # no parents: a job's folder that was removed does not come back
        with folders.appearing(self._folder.checkpoint(position.step), replacing=True) as hidden:
            save_adapter(self._model, hidden / "adapter")
            _save({"optimizer": self._optimizer.state(), "random": self._random}, hidden / "trainer.pt")
            (hidden / "position.json").write_bytes(store.pretty(position))
        self._newest = known
        self._prune(position.step)

    def restore(self) -> Position:
        """Go back to the newest checkpoint that can be read; the position of a run's beginning when there is none."""
        for path in map(self._folder.checkpoint, sorted(self._folder.checkpoint_steps(), reverse=True)):
            try:
                position = store.read(path / "position.json", Position)
                state: dict[str, Any] = torch.load(path / "trainer.pt", map_location="cpu", weights_only=True)
                with safe_open(path / "adapter" / WEIGHTS, framework="pt") as adapter:
                    self._optimizer.restore(state["optimizer"], partial(_stored, adapter))
            except UNREADABLE as error:
                log.warning("%s cannot be read, trying the one before: %s", path.name, error)
                continue
            _set_random_states(state["random"])
            self._random = state["random"]
            self._newest = position.step, position.eval_step
            log.info("Going on from %s", path.name)
            return position
        return Position()

    def _prune(self, newest: int) -> None:
        """Remove all but the last ones up to `newest`, which is on the disk, and the best one.

        What was not written by a run is left alone, and so is what comes after `newest`: it could not be read.
        """
        found: dict[int, Position] = {}
        for step in self._folder.checkpoint_steps():
            try:
                found[step] = store.read(self._folder.checkpoint(step) / "position.json", Position)
            except (FileNotFoundError, BrokenFile):
                continue
        measured = [at for step, at in found.items() if at.eval_loss is not None and at.eval_step == step]
        best = min(measured, key=lambda at: (at.eval_loss, -at.step)).step if measured else newest
        for step in sorted(step for step in found if step <= newest)[: -self._limit]:
            if step != best:
                folders.vanish(self._folder.checkpoint(step))


def _stored(adapter: Any, parameter: str) -> torch.Tensor:  # noqa: ANN401  an open safetensors file
    tensor: torch.Tensor = adapter.get_tensor(lora.stored_name(parameter))
    return tensor


def save_adapter(model: PeftModel, folder: Path) -> None:
    """The adapter in PEFT's own layout, in an empty folder; the base's embeddings stay out of it."""
    folder.mkdir(exist_ok=True)  # peft would make the parents too: a folder renamed meanwhile would come back
    model.save_pretrained(str(folder), save_embedding_layers=False)


def _save(state: dict[str, Any], path: Path) -> None:
    """Raises the OSError of a full disk, which torch's writer otherwise reports as a broken promise of its own."""
    try:
        with path.open("wb") as file:
            torch.save(state, file)
    except RuntimeError as error:
        if isinstance(error.__context__, OSError):
            raise error.__context__ from None
        raise


def _random_states() -> dict[str, torch.Tensor]:
    """The generators that dropout draws from."""
    states = {"cpu": torch.get_rng_state()}
    if torch.cuda.is_available():
        states["cuda"] = torch.cuda.get_rng_state()
    if torch.backends.mps.is_available():
        states["mps"] = torch.mps.get_rng_state()
    return states


def _set_random_states(states: dict[str, torch.Tensor]) -> None:
    torch.set_rng_state(states["cpu"])
    if "cuda" in states and torch.cuda.is_available():
        torch.cuda.set_rng_state(states["cuda"])
    if "mps" in states and torch.backends.mps.is_available():
        torch.mps.set_rng_state(states["mps"])
