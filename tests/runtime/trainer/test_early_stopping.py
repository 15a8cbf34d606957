"""Early stopping counts as transformers' own callback does."""

from typing import Any

from hypothesis import given
from hypothesis import strategies as st
from transformers import EarlyStoppingCallback, TrainerControl, TrainerState

from runtime.trainer import early_stopping
from runtime.trainer.checkpoint import Position
from state.config import EarlyStopping

LOSSES = st.lists(st.sampled_from([1.0, 1.05, 1.1, 1.2, 1.25, 1.5, 2.0]), min_size=1, max_size=12)


@given(losses=LOSSES, patience=st.integers(1, 4), min_delta=st.sampled_from([0.0, 0.07, 0.3]))
def test_a_run_ends_at_the_evaluation_at_which_transformers_would_end_it(
    losses: list[float], patience: int, min_delta: float
) -> None:
    stopping = EarlyStopping(patience=patience, min_delta=min_delta)
    position = Position()

    for step, loss in enumerate(losses, start=1):
        position = early_stopping.judged(Position(**_fields(position) | {"step": step}), loss, stopping)
        if early_stopping.is_due(position, stopping):
            break

    assert position.step == _transformers_end(losses, patience, min_delta)
    seen = losses[: position.step]
    assert (position.best_loss, position.best_step) == (min(seen), 1 + seen.index(min(seen)))


def test_a_loss_that_is_no_number_is_in_vain_and_never_the_best() -> None:
    stopping = EarlyStopping(patience=2)
    first = early_stopping.judged(Position(step=1), None, stopping)
    second = early_stopping.judged(Position(**_fields(first) | {"step": 2}), None, stopping)

    assert not early_stopping.is_due(first, stopping)
    assert early_stopping.is_due(second, stopping)
    assert (second.best_loss, second.best_step) == (None, 0)
    assert "it was never a number" in str(early_stopping.sentence(second, stopping, 9))


def _fields(position: Position) -> dict[str, Any]:
    return {name: getattr(position, name) for name in position.__struct_fields__}


def _transformers_end(losses: list[float], patience: int, threshold: float) -> int:
    """The evaluation at which its trainer stops; the last one where it does not."""
    callback = EarlyStoppingCallback(patience, threshold)
    state, control = TrainerState(), TrainerControl()
    arguments: Any = type("Arguments", (), {"metric_for_best_model": "eval_loss", "greater_is_better": False})
    for number, loss in enumerate(losses, start=1):
        callback.on_evaluate(arguments, state, control, {"eval_loss": loss})
        if control.should_training_stop:
            return number
        if state.best_metric is None or loss < state.best_metric:  # as its trainer does after each evaluation
            state.best_metric = loss
    return len(losses)
