"""Several sequences in one forward pass, each with keys and values of its own: what continuous batching stands on.

The tokens of all sequences lie behind one another in one row without padding, a whole prompt beside another sequence's
single next token. Linear layers see one long row, and read their weights once for all; attention is computed for each
sequence over what it has kept (the idea of Orca, Yu et al. 2022). A model whose attention cannot be had so is computed
one sequence after another.
"""

import logging
from collections.abc import Callable, Sequence
from typing import Any

import torch
from msgspec import Struct
from torch import nn
from transformers import AttentionInterface, DynamicCache, PreTrainedModel

from runtime.model.attention import attended, refuse_others

log = logging.getLogger("inference")

ATTENTION = "lathe_ragged"
GROWTH = 256  # tokens that a sequence's buffers grow by
TRIAL_TOLERANCE = 0.05  # of the logits' norm; bf16 keeps 8 bits, and kernels differ with the number of rows
TRIAL = ((5, 3, 8, 2, 6), (7, 1, 4))  # tokens that every vocabulary has


class Kept:
    """The keys and values of one sequence, a pair of buffers [1, H, capacity, D] a layer.

    On a CPU they are float32: torch's attention of a single bf16 token rearranges all keys first, and took 353 us over
    500 of them where float32 takes 48 (16 heads of 64, 2 cores), for twice the memory.
    """

    def __init__(self) -> None:
        self.length = 0
        self._layers: dict[int, tuple[torch.Tensor, torch.Tensor]] = {}

    def append(self, layer: int, key_1HTD: torch.Tensor, value_1HTD: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """Keep new tokens' keys and values in one layer; returns all of that layer's. `length` is the caller's."""
        if key_1HTD.device.type == "cpu":
            key_1HTD, value_1HTD = key_1HTD.float(), value_1HTD.float()
        end = self.length + key_1HTD.shape[2]
        buffers = self._layers.get(layer)
        if buffers is None or buffers[0].shape[2] < end:
            keys, values = (_grown(part, self.length, end) for part in buffers or (key_1HTD, value_1HTD))
            buffers = self._layers[layer] = (keys, values)
        for buffer, new in zip(buffers, (key_1HTD, value_1HTD), strict=True):
            buffer[:, :, self.length : end] = new
        return buffers[0][:, :, :end], buffers[1][:, :, :end]

    def beginning(self, length: int) -> "Kept":
        """A copy of what is kept of the first tokens."""
        copy = Kept()
        copy.length = length
        copy._layers = {
            layer: (_grown(keys, length, length + 1), _grown(values, length, length + 1))
            for layer, (keys, values) in self._layers.items()
        }
        return copy

    @property
    def nbytes(self) -> int:
        return sum(buffer.nbytes for buffers in self._layers.values() for buffer in buffers)


def _grown(part_1HTD: torch.Tensor, filled: int, needed: int) -> torch.Tensor:
    capacity = -(-needed // GROWTH) * GROWTH
    larger = part_1HTD.new_empty((*part_1HTD.shape[:2], capacity, part_1HTD.shape[3]))
    larger[:, :, :filled] = part_1HTD[:, :, :filled]
    return larger


class Part(Struct, frozen=True):
    """What one sequence brings to a pass: its new tokens, and what it has kept of the ones before."""

    tokens: list[int]
    kept: Any
    """Of the Forward that made it."""


class Forward(Struct, frozen=True):
    """A way to compute the logits [N, V] after the last token of each of N parts."""

    new: Callable[[], Any]
    """What an empty sequence has kept."""
    logits: Callable[[Sequence[Part]], torch.Tensor]
    is_batched: bool


def choose(model: PreTrainedModel) -> Forward:
    """All sequences together where a trial shows that it is right for this model; else one after another."""
    own = model.config._attn_implementation  # noqa: SLF001  transformers has no public name for it
    alone = _one_by_one(model)
    try:
        expected = _try(alone)
        model.set_attn_implementation(ATTENTION)
        together = _together(model)
        found = _try(together)
    except (AttributeError, NotImplementedError, TypeError, ValueError) as reason:
        log.info("Sequences are computed one at a time: %s", reason)
        model.set_attn_implementation(own)
        return alone
    if not bool((found - expected).norm() <= TRIAL_TOLERANCE * expected.norm()):
        log.info("Sequences are computed one at a time: computed together they have other logits")
        model.set_attn_implementation(own)
        return alone
    return together


def _together(model: PreTrainedModel) -> Forward:
    device = model.device

    def logits(parts: Sequence[Part]) -> torch.Tensor:
        tokens = [token for part in parts for token in part.tokens]
        starts = [part.kept.length for part in parts]
        positions = [start + at for start, part in zip(starts, parts, strict=True) for at in range(len(part.tokens))]
        lengths = torch.tensor([len(part.tokens) for part in parts], device=device)
        found = model(
            input_ids=torch.tensor([tokens], device=device),
            position_ids=torch.tensor([positions], device=device),
            use_cache=False,
            logits_to_keep=lengths.cumsum(0) - 1,
            parts=parts,
        )
        for part in parts:
            part.kept.length += len(part.tokens)
        logits_NV: torch.Tensor = found.logits[0]
        return logits_NV

    return Forward(Kept, logits, is_batched=True)


def _one_by_one(model: PreTrainedModel) -> Forward:
    def logits(parts: Sequence[Part]) -> torch.Tensor:
        found = []
        for part in parts:
            tokens_1T = torch.tensor([part.tokens], device=model.device)
            found.append(model(input_ids=tokens_1T, past_key_values=part.kept, use_cache=True).logits[0, -1])
        return torch.stack(found)

    return Forward(lambda: DynamicCache(config=model.config), logits, is_batched=False)


@torch.inference_mode()
def _try(forward: Forward) -> torch.Tensor:
    """The logits of two sequences after their last tokens, which come in a pass of their own."""
    kept = [forward.new() for _ in TRIAL]
    forward.logits([Part(list(tokens[:-1]), own) for tokens, own in zip(TRIAL, kept, strict=True)])
    return forward.logits([Part([tokens[-1]], own) for tokens, own in zip(TRIAL, kept, strict=True)]).float()


def attend(  # noqa: PLR0913, PLR0917  transformers' attention interface
    module: nn.Module,
    query_1HTD: torch.Tensor,
    key_1HTD: torch.Tensor,
    value_1HTD: torch.Tensor,
    attention_mask: torch.Tensor | None,  # noqa: ARG001  None: transformers makes no mask for an attention of this name
    scaling: float | None = None,
    dropout: float = 0.0,  # noqa: ARG001
    sliding_window: int | None = None,
    softcap: float | None = None,
    parts: Sequence[Part] = (),
    **others: object,
) -> tuple[torch.Tensor, None]:
    """Causal attention of each part's new tokens to its sequence; `parts` comes through the model's keyword arguments.

    Raises NotImplementedError for a model whose attention is more than that.
    """
    refuse_others(module, others)
    layer: Any = module.layer_idx
    lengths = [len(part.tokens) for part in parts]
    found = []
    for part, query, key, value in zip(
        parts, query_1HTD.split(lengths, 2), key_1HTD.split(lengths, 2), value_1HTD.split(lengths, 2), strict=True
    ):
        keys, values = part.kept.append(layer, key, value)
        seen = attended(query.to(keys.dtype), keys, values, window=sliding_window, scale=scaling, softcap=softcap)
        found.append(seen)
    return torch.cat(found, dim=2).to(query_1HTD.dtype).transpose(1, 2).contiguous(), None


AttentionInterface.register(ATTENTION, attend)
