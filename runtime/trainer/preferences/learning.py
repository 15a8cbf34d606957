"""A step and an evaluation on preferences."""

import math
from collections.abc import Callable, Iterable, Sequence

import torch
from msgspec import Struct
from peft import PeftModel
from torch import nn

from runtime.trainer.evaluation import Evaluated
from runtime.trainer.fit import rows
from runtime.trainer.loss import SummedLoss, evaluating
from runtime.trainer.preferences.dpo_loss import Measured, figures, measure
from runtime.trainer.preferences.figures import Figures
from runtime.trainer.preferences.pairs import Pair, Pairs
from state.config import LossType


class Preferences(Struct, frozen=True):
    """What a run learns from, and how.

    A pair's two documents are in one packed row: the gradient of either depends on both, and torn apart a pair would
    have to be computed twice.
    """

    train: Pairs
    held_out: Pairs | None
    summed_loss: SummedLoss
    loss_type: LossType
    beta: float

    def backward(self, indices: Sequence[int], row_tokens: int) -> Figures:
        """Add the gradient of the mean loss over the pairs of these rows."""
        taken = [self.train[index] for index in indices]
        return self._measured(taken, row_tokens, lambda measured: (measured.losses_P.sum() / len(taken)).backward())

    @torch.no_grad()
    def evaluate(self, model: PeftModel, row_tokens: int) -> Evaluated:
        """Over all pairs that are held out."""
        with evaluating(model):
            pairs = self._measured(self.held_out or [], row_tokens, lambda _: None)
        loss = pairs.mean("loss")
        return Evaluated(loss=loss if math.isfinite(loss) else None, token_accuracy=None, pairs=pairs)

    def _measured(self, pairs: Iterable[Pair], row_tokens: int, use: Callable[[Measured], None]) -> Figures:
        count, total = 0, None
        for row in rows(pairs, row_tokens):
            measured = self._measure(row)
            use(measured)
            total = measured.sums() if total is None else total + measured.sums()
            count += len(row)
        return figures(count, total) if total is not None else Figures()

    def _measure(self, row: Sequence[Pair]) -> Measured:
        documents = [document for pair in row for document in pair.documents]
        policy_P2 = -self.summed_loss.of_each(documents).view(-1, 2)
        reference_P2 = policy_P2.new_tensor([pair.reference for pair in row])
        lengths_P2 = policy_P2.new_tensor([document.num_targets for document in documents]).view(-1, 2)
        return measure(self.loss_type, self.beta, policy_P2, reference_P2, lengths_P2)


def without_dropout(model: PeftModel) -> None:
    """Have no dropout from now on, as TRL's DPOTrainer: it would move every reward at random, the reference has none.

    The adapter's own record says so, too.
    """
    model.active_peft_config.lora_dropout = 0.0
    for module in model.modules():
        if isinstance(module, nn.Dropout):
            module.p = 0.0
        if isinstance(getattr(module, "attention_dropout", None), float):
            vars(module)["attention_dropout"] = 0.0  # a number, as transformers' attention has it
