"""From texts to the token batches of a step. Which examples a step takes depends on its number alone, so a resumed
run needs no other position than that.
"""

import random
from collections.abc import Iterator, Sequence

import torch
from msgspec import Struct
from transformers import PreTrainedTokenizerBase

from state.config import TrainingConfig, steps_per_epoch

IGNORED = -100  # cross-entropy's own mark for "no target here"


class Tokenized(Struct, frozen=True):
    """Examples as token ids, each of at least two tokens."""

    examples: list[list[int]]
    num_cut: int
    """How many were longer than allowed and lost their end."""
    num_dropped: int
    """How many had fewer than two tokens: nothing to predict."""


class Batch(Struct, frozen=True):
    """A right-padded micro-batch. `num_targets` counts the tokens that are predicted."""

    input_ids_BT: torch.Tensor
    attention_mask_BT: torch.Tensor
    labels_BT: torch.Tensor
    num_targets: int


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
    order = list(range(num_examples))
    random.Random(f"{seed}:{epoch}").shuffle(order)  # noqa: S311  an order, not a secret
    per_step = config.batch_size * config.gradient_accumulation_steps
    return order[position * per_step : (position + 1) * per_step]


def batches(examples: Sequence[list[int]], batch_size: int, pad: int, device: str) -> Iterator[Batch]:
    """The examples in micro-batches of `batch_size`, in their order."""
    for first in range(0, len(examples), batch_size):
        yield pad_batch(examples[first : first + batch_size], pad, device)


def pad_batch(examples: Sequence[list[int]], pad: int, device: str) -> Batch:
    """One micro-batch [B, T]; T is the length of its longest example."""
    shape = (len(examples), max(len(ids) for ids in examples))
    input_ids, mask = torch.full(shape, pad), torch.zeros(shape, dtype=torch.long)
    labels = torch.full(shape, IGNORED)
    for row, ids in enumerate(examples):
        input_ids[row, : len(ids)] = torch.tensor(ids)
        mask[row, : len(ids)] = 1
        labels[row, 1 : len(ids)] = torch.tensor(ids[1:])  # an example's first token has nothing to be predicted from
    num_targets = sum(len(ids) - 1 for ids in examples)
    return Batch(input_ids.to(device), mask.to(device), labels.to(device), num_targets)
