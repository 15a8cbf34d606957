"""Which rows a step takes. It depends on the step's number alone, so a resumed run needs no other position."""

import random
from array import array
from collections.abc import Sequence
from functools import lru_cache

from state.config import TrainingConfig, steps_per_epoch


def examples_of_step(config: TrainingConfig, num_examples: int, step: int, seed: int) -> list[int]:
    """The indices of the examples that step `step` (from 0) takes: the next ones of its epoch's own order."""
    epoch, position = divmod(step, steps_per_epoch(config, num_examples))
    per_step = config.batch_size * config.gradient_accumulation_steps
    return list(order_of_epoch(num_examples, epoch, seed)[position * per_step : (position + 1) * per_step])


@lru_cache(maxsize=1)  # steps follow one another; shuffling a million examples takes 0.6 s
def order_of_epoch(num_examples: int, epoch: int, seed: int) -> Sequence[int]:
    """All examples in the order in which the steps of an epoch (from 0) take them. Not to be changed."""
    order = array("q", range(num_examples))
    random.Random(f"{seed}:{epoch}").shuffle(order)  # noqa: S311  an order, not a secret
    return order
