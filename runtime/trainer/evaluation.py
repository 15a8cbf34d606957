"""How well the model does on rows that it does not learn from."""

import math
from collections.abc import Iterable

import torch
from msgspec import Struct
from torch import nn

from runtime.trainer.documents import Document, num_targets
from runtime.trainer.fit import rows
from runtime.trainer.loss import PackedLoss, SummedLoss, evaluating
from runtime.trainer.preferences.figures import Figures


class Evaluated(Struct, frozen=True, kw_only=True):
    """Over all learned tokens of the rows together, each counted once, however long its row is; or over all pairs."""

    loss: float | None
    """Mean cross-entropy in nats, or the mean of DPO's loss; None when it is not a finite number."""
    token_accuracy: float | None
    """The share of them that the model holds most likely; None for a model that is computed one document at a time, and
    for preferences."""
    pairs: Figures = Figures()
    """Of preferences."""


@torch.no_grad()
def evaluate(model: nn.Module, summed_loss: SummedLoss, examples: Iterable[Document], row_tokens: int) -> Evaluated:
    """Without dropout, so that nothing is drawn: the training goes on as if it had not been evaluated."""
    total, hits, targets = 0.0, 0.0, 0
    with evaluating(model):
        for documents in rows(examples, row_tokens):
            if isinstance(summed_loss, PackedLoss):
                loss, found = summed_loss.scores(documents)
                hits += found.item()
            else:
                loss, hits = summed_loss(documents), math.nan
            total += loss.item()
            targets += num_targets(documents)
    return Evaluated(loss=_mean(total, targets), token_accuracy=_mean(hits, targets))


def _mean(total: float, targets: int) -> float | None:
    mean = total / max(targets, 1)
    return mean if math.isfinite(mean) else None
