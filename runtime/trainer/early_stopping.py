"""Which evaluation was the best, and when no better one is waited for any more. Pure.

As transformers' EarlyStoppingCallback counts: each evaluation is compared with the lowest loss of all before it, so a
loss that creeps down by less than `min_delta` each time is the best each time, and still in vain.
"""

from msgspec import structs

from runtime.trainer.checkpoint import Position
from state.config import EarlyStopping


def is_best(position: Position, eval_loss: float | None) -> bool:
    """Whether a loss is below that of every evaluation by `position`. None is not a number, and never the best."""
    return eval_loss is not None and (position.best_loss is None or eval_loss < position.best_loss)


def judged(position: Position, eval_loss: float | None, stopping: EarlyStopping | None) -> Position:
    """The position with this evaluation counted, made after its step."""
    min_delta = stopping.min_delta if stopping else 0.0
    best = position.best_loss
    gained = eval_loss is not None and (best is None or best - eval_loss > min_delta)
    counted = structs.replace(
        position,
        eval_loss=eval_loss,
        eval_step=position.step,
        evaluations_in_vain=0 if gained else position.evaluations_in_vain + 1,
    )
    if is_best(position, eval_loss):
        return structs.replace(counted, best_loss=eval_loss, best_step=position.step)
    return counted


def is_due(position: Position, stopping: EarlyStopping | None) -> bool:
    """Whether the run is to end here."""
    return stopping is not None and position.evaluations_in_vain >= stopping.patience


def sentence(position: Position, stopping: EarlyStopping | None, total_steps: int) -> str | None:
    """Why a run ended that has not taken all its steps; None for one that has."""
    if stopping is None or position.step >= total_steps:
        return None
    by = f" by more than {stopping.min_delta:g}" if stopping.min_delta else ""
    lowest = "it was never a number"
    if position.best_loss is not None:
        lowest = f"the lowest was {position.best_loss:.4f}, after step {position.best_step}"
    return (
        f"Ended after step {position.step} of {total_steps}: {stopping.patience} evaluations in a row have not lowered "
        f"the loss{by}; {lowest}"
    )
