"""From texts to the examples of a step. Which examples a step takes depends on its number alone, so a resumed
run needs no other position than that.
"""

import random
from array import array
from collections.abc import Sequence
from functools import lru_cache

from msgspec import Struct
from transformers import PreTrainedTokenizerBase

from state.config import TrainingConfig, steps_per_epoch


class Tokenized(Struct, frozen=True):
    """Examples as token ids, each of at least two tokens."""

    examples: list[list[int]]
    num_cut: int
    """How many were longer than allowed and lost their end."""
    num_dropped: int
    """How many had fewer than two tokens: nothing to predict."""


def tokenize(tokenizer: PreTrainedTokenizerBase, texts: Sequence[str], max_length: int) -> Tokenized:
    """Tokenize each text, close it with the end token where the tokenizer has one, cut it at `max_length` tokens."""
    end = tokenizer.eos_token_id
    whole = [list(ids) for ids in tokenizer(list(texts), verbose=False)["input_ids"]]
    closed = [ids if end is None or (ids and ids[-1] == end) else [*ids, end] for ids in whole]
    examples = [ids[:max_length] for ids in closed if len(ids) > 1]
    return Tokenized(examples, sum(len(ids) > max_length for ids in closed), len(closed) - len(examples))


def examples_of_step(config: TrainingConfig, num_examples: int, step: int, seed: int) -> list[int]:
    """The indices of the examples that step `step` (from 0) takes: the next ones of its epoch's own order."""
    epoch, position = divmod(step, steps_per_epoch(config, num_examples))
    per_step = config.batch_size * config.gradient_accumulation_steps
    return list(_order(num_examples, epoch, seed)[position * per_step : (position + 1) * per_step])


@lru_cache(maxsize=1)  # steps follow one another; shuffling a million examples takes 0.6 s
def _order(num_examples: int, epoch: int, seed: int) -> Sequence[int]:
    order = array("q", range(num_examples))
    random.Random(f"{seed}:{epoch}").shuffle(order)  # noqa: S311  an order, not a secret
    return order
