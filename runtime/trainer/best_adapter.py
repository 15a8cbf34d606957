"""The adapter of the lowest evaluation loss, kept until the run ends: `checkpoints/best-<n>/`, in PEFT's own layout.

Its weights alone, a third of a checkpoint: nobody goes on from it. It is on the disk before any checkpoint names it,
and stays for as long as one does, so a run that goes on from any of its checkpoints finds the best one by then.
"""

import logging

import torch
from peft import PeftModel
from safetensors import safe_open

from runtime.trainer import lora
from runtime.trainer.checkpoint import UNREADABLE, Position, save_adapter
from state import folders, store
from state.adapters import WEIGHTS
from state.errors import BrokenFile
from state.jobs import JobFolder

log = logging.getLogger("trainer")


def save(folder: JobFolder, model: PeftModel, step: int) -> None:
    """Keep the model's adapter, as it is after `step`; durable when this returns."""
    folder.checkpoints.mkdir(exist_ok=True)  # no parents: a job's folder that was removed does not come back
    with folders.appearing(folder.best(step), replacing=True) as hidden:
        save_adapter(model, hidden)


def prune(folder: JobFolder, best_step: int) -> None:
    """Remove the kept adapters that neither are the best one now nor were it at the time of a checkpoint."""
    named = {best_step}
    for step in folder.checkpoint_steps():
        try:
            named.add(store.read(folder.checkpoint(step) / "position.json", Position).best_step)
        except (FileNotFoundError, BrokenFile):
            continue
    for step in folder.best_steps():
        if step not in named:
            folders.vanish(folder.best(step))


@torch.no_grad()
def load(folder: JobFolder, model: PeftModel, step: int) -> bool:
    """Give the model the values that the best step's adapter had, to the bit.

    Where that was removed, it is taken from the step's checkpoint. Where there is none either all stays as it was, the
    log says so, and False is returned.
    """
    trained = lora.trainable(model)
    for place in (folder.best(step), folder.checkpoint(step) / "adapter"):
        try:
            with safe_open(place / WEIGHTS, framework="pt") as kept:
                values = {name: kept.get_tensor(lora.stored_name(name)) for name in trained}
            break
        except UNREADABLE as error:
            log.warning("%s cannot be read: %s", place, error)
    else:
        log.warning("The adapter of step %d, the best one, is lost: the last step's is published", step)
        return False
    for name, parameter in trained.items():
        parameter.copy_(values[name])
    return True
