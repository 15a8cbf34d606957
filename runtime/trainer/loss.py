"""The training loss: cross-entropy summed over target tokens, in nats, on the fastest way that is exact for a model.

A sum, so that a step divides once by all its targets: a mean of rows' means would weight tokens of short rows more.
"""

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import torch
from bitsandbytes.nn.modules import Linear4bit
from peft import PeftModel
from torch import nn
from torch.nn.functional import cross_entropy

from runtime.model.trial import Inexact, check_close, fast_or_plain
from runtime.trainer.documents import Document, whole
from runtime.trainer.head_loss import head_losses, head_scores
from runtime.trainer.packing import ATTENTION, IGNORED, pack, targets_of
from runtime.trainer.trained_head import trained_head_losses, unwrapped

TRIAL_TOLERANCE = 0.02  # relative; bf16 keeps 8 bits, and the two ways add in different orders


class SummedLoss:
    """From documents (two tokens at least each) to their summed loss over the tokens that are learned."""

    def __init__(self, of_each: Callable[[Sequence[Document]], torch.Tensor]) -> None:
        """`of_each` gives the losses [D] of D documents: what a model gives each of them is exp(-loss)."""
        self.of_each = of_each

    def __call__(self, documents: Sequence[Document]) -> torch.Tensor:
        return self.of_each(documents).sum()


def choose(model: PeftModel, device: str) -> SummedLoss:
    """The packed way where a trial shows that it is exact for this model; else one document at a time."""
    return fast_or_plain(
        model.get_base_model(),
        "Documents",
        fast=lambda: packed(model, device),
        plain=lambda: one_by_one(model, device),
    )


def packed(model: PeftModel, device: str) -> SummedLoss:
    """Documents in one row. Raises Inexact where a trial shows that this is not exact for the model."""
    loss = PackedLoss(model, device)
    with torch.no_grad(), evaluating(model):
        _try(loss, one_by_one(model, device))
    return loss


class PackedLoss(SummedLoss):
    """Documents in one row, and a loss that never holds all logits, by a model's decoder and head."""

    def __init__(self, model: PeftModel, device: str) -> None:
        """Puts Lathe's attention in the model's place. Raises Inexact for a head that is more than a matrix."""
        super().__init__(self._of_each)
        causal: Any = model.get_base_model()  # a module, as far as torch knows
        head = unwrapped(causal.get_output_embeddings())
        if type(head) is not nn.Linear:
            raise Inexact("the output layer is not a plain linear layer")
        is_trained = any(parameter.requires_grad for parameter in head.parameters())
        self._head_losses = trained_head_losses if is_trained else head_losses
        text = causal.config.get_text_config()
        self.vocabulary: int = text.vocab_size
        self._cap = getattr(text, "final_logit_softcapping", None)
        self._device = device
        self._head = head
        self._decoder = causal.get_decoder()
        causal.set_attn_implementation(ATTENTION)

    def __call__(self, documents: Sequence[Document]) -> torch.Tensor:
        return self._of_tokens(documents).sum()  # without a sum of each document's own

    def _of_each(self, documents: Sequence[Document]) -> torch.Tensor:
        losses_N = self._of_tokens(documents)
        return torch.stack([part.sum() for part in losses_N.split([document.num_targets for document in documents])])

    def _of_tokens(self, documents: Sequence[Document]) -> torch.Tensor:
        """The losses [N] of the tokens that are learned."""
        states_TC, targets_T = self.states(documents)
        has_target_T = targets_T != IGNORED
        return self._head_losses(states_TC[has_target_T], self._head, targets_T[has_target_T], self._cap)

    def scores(self, documents: Sequence[Document]) -> tuple[torch.Tensor, torch.Tensor]:
        """The summed loss without a gradient, and how many of the learned tokens the model holds most likely."""
        states_TC, targets_T = self.states(documents)
        has_target_T = targets_T != IGNORED
        return head_scores(states_TC[has_target_T], self._head, targets_T[has_target_T], self._cap)

    def states(self, documents: Sequence[Document]) -> tuple[torch.Tensor, torch.Tensor]:
        """The decoder's last states [T, C] of the row, and each token's target [T]."""
        row = pack(documents, self._device)
        states_1TC: torch.Tensor = self._decoder(
            input_ids=row.input_ids_1T,
            position_ids=row.position_ids_1T,
            use_cache=False,
            documents=row.documents,
        ).last_hidden_state
        return states_1TC[0], row.targets_T


def _try(loss: PackedLoss, plain: SummedLoss) -> None:
    """Raise Inexact when packed documents see one another, or have another loss than alone."""
    first, second, other = _trial_documents(loss.vocabulary)
    beside, beside_other = (loss.states([start, second])[0][len(start) :] for start in (first, other))
    if not torch.equal(beside, beside_other):
        raise Inexact("a document's states depend on the document before it")
    check_close(loss.of_each([first, second]), plain.of_each([first, second]), TRIAL_TOLERANCE)


def one_by_one(model: nn.Module, device: str) -> SummedLoss:
    """Every document alone, through the model's own forward pass and full logits: slow, and right for any model."""

    def loss(document: Document) -> torch.Tensor:
        tokens_1T = torch.tensor([list(document.tokens)], device=device)
        targets_T = torch.tensor(targets_of(document), device=device)
        logits_TV = model(input_ids=tokens_1T, use_cache=False).logits[0].float()
        return cross_entropy(logits_TV, targets_T, reduction="sum", ignore_index=IGNORED)

    return SummedLoss(lambda documents: torch.stack([loss(document) for document in documents]))


@contextmanager
def evaluating(model: nn.Module) -> Iterator[None]:
    """Have no dropout, whether it is a module of its own or, as in GPT-2's attention, hangs on a module's mode.

    Not `model.eval()`: bitsandbytes' 4-bit layers would repack their weights on CPUs with AVX512_BF16, for a kernel
    that has no gradient, and never back: all training after an evaluation would be silently wrong. They stay as they
    are.
    """
    in_training = [module for module in model.modules() if module.training and not isinstance(module, Linear4bit)]
    for module in in_training:
        module.training = False
    try:
        yield
    finally:
        for module in in_training:
            module.training = True


def _trial_documents(vocabulary: int) -> tuple[Document, Document, Document]:
    """Three short documents; the first and the last have one length."""
    tokens = [(7 * number + 11) % vocabulary for number in range(25)]
    return whole(tokens[:8]), whole(tokens[8:17]), whole(tokens[17:25])
