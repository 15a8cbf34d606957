"""The training loss, and its mean over held-out examples."""

import math
from collections.abc import Iterator
from contextlib import contextmanager

import torch
from torch import nn

from runtime.trainer.batches import IGNORED, Batch, batches


def summed_loss(model: nn.Module, batch: Batch) -> torch.Tensor:
    """Cross-entropy summed over the batch's target tokens, in nats, computed in float32.

    A sum, so that a step divides once by all its targets: a mean of micro-batch means would weight tokens of small
    micro-batches more.
    """
    logits_BTV = model(input_ids=batch.input_ids_BT, attention_mask=batch.attention_mask_BT).logits
    predictions = logits_BTV[:, :-1].float().flatten(0, 1)
    return nn.functional.cross_entropy(
        predictions, batch.labels_BT[:, 1:].flatten(), ignore_index=IGNORED, reduction="sum"
    )


@torch.no_grad()
def mean_loss(model: nn.Module, examples: list[list[int]], batch_size: int, pad: int, device: str) -> float | None:
    """Mean cross-entropy over all target tokens of the examples; None when it is not a finite number."""
    total, targets = 0.0, 0
    with without_dropout(model):
        for batch in batches(examples, batch_size, pad, device):
            total += summed_loss(model, batch).item()
            targets += batch.num_targets
    mean = total / max(targets, 1)
    return mean if math.isfinite(mean) else None


@contextmanager
def without_dropout(model: nn.Module) -> Iterator[None]:
    """Switch the dropout modules off, and nothing else.

    `model.eval()` would do more: bitsandbytes' 4-bit layers then repack their weights on CPUs with AVX512_BF16 for a
    kernel that has no gradient, and never back, so all training after an evaluation would be silently wrong.
    """
    dropouts = [module for module in model.modules() if isinstance(module, nn.Dropout) and module.training]
    for dropout in dropouts:
        dropout.eval()
    try:
        yield
    finally:
        for dropout in dropouts:
            dropout.train()
