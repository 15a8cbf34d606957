"""Checkpoints: all that a run needs to go on as if it had never stopped.

    checkpoints/step-<n>/adapter/       the adapter after step n, in PEFT's own layout, for whoever wants to try it
    checkpoints/step-<n>/trainer.pt     the trained values, AdamW's state and the random generators'
    checkpoints/step-<n>/position.json  the step, and what was measured but not logged yet

A checkpoint is built under a hidden name, flushed to the disk and renamed: it is complete or absent.
"""

import io
import logging
import pickle
from pathlib import Path
from typing import Any

import torch
from msgspec import Struct
from peft import PeftModel

from runtime.trainer.optimizer import Optimizer
from state import folders, store
from state.errors import BrokenFile
from state.jobs import JobFolder

log = logging.getLogger("trainer")


class Position(Struct, frozen=True, kw_only=True):
    """Where a run stands after `step` optimizer steps."""

    step: int = 0
    unlogged_loss: float = 0.0
    """Cross-entropy summed over the target tokens since the last log line."""
    unlogged_tokens: int = 0
    train_loss: float | None = None
    """The last logged one."""
    eval_loss: float | None = None
    elapsed_s: float = 0.0


def save(folder: JobFolder, model: PeftModel, optimizer: Optimizer, position: Position) -> None:
    """Write the checkpoint of this step, durable when this returns. One that exists is left as it is."""
    target = folder.checkpoint(position.step)
    if target.exists():
        return
    folder.checkpoints.mkdir(exist_ok=True)  # no parents: a job's folder that was removed does not come back
    state = io.BytesIO()  # not straight to the file: torch's own writer tells a full disk as a C++ assertion
    torch.save({"optimizer": optimizer.state(), "random": _random_states()}, state)
    with folders.appearing(target) as hidden:
        save_adapter(model, hidden / "adapter")
        (hidden / "trainer.pt").write_bytes(state.getbuffer())
        (hidden / "position.json").write_bytes(store.pretty(position))


def restore(folder: JobFolder, optimizer: Optimizer) -> Position:
    """Go back to the newest checkpoint that can be read; the position of a run's beginning when there is none."""
    for path in map(folder.checkpoint, sorted(folder.checkpoint_steps(), reverse=True)):
        try:
            position = store.read(path / "position.json", Position)
            state: dict[str, Any] = torch.load(path / "trainer.pt", map_location="cpu", weights_only=True)
            optimizer.restore(state["optimizer"])
        except (OSError, EOFError, BrokenFile, RuntimeError, KeyError, ValueError, pickle.UnpicklingError) as error:
            log.warning("%s cannot be read, trying the one before: %s", path.name, error)
            continue
        _set_random_states(state["random"])
        log.info("Going on from %s", path.name)
        return position
    return Position()


def save_adapter(model: PeftModel, folder: Path) -> None:
    """The adapter in PEFT's own layout, in an empty folder; the base's embeddings stay out of it."""
    folder.mkdir(exist_ok=True)  # peft would make the parents too: a folder renamed meanwhile would come back
    model.save_pretrained(str(folder), save_embedding_layers=False)


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
