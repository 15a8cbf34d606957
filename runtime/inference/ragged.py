"""Several sequences in one forward pass, each with a KV cache of its own: the basis of continuous batching.

The tokens of all sequences lie behind one another in one row without padding, a whole prompt beside another sequence's
single next token. Linear layers see one long row, and read their weights once for all; attention is computed for each
sequence over its own KV cache (the idea of Orca, Yu et al. 2022). A model whose attention cannot be replaced
like this is computed one sequence after another.
"""

from collections.abc import Callable, Sequence
from functools import partial
from typing import Any

import torch
from msgspec import Struct
from torch import nn
from transformers import AttentionInterface, DynamicCache, PreTrainedModel

from runtime.inference.kv_cache import KVCache
from runtime.inference.paged.pool import PagePool
from runtime.model.attention import attended, refuse_others
from runtime.model.trial import check_close, fast_or_plain

ATTENTION = "lathe_ragged"
TRIAL_TOLERANCE = 0.05  # of the logits' norm; bf16 keeps 8 bits, and kernels differ with the number of rows
TRIAL = ((5, 3, 8, 2, 6), (7, 1, 4))  # tokens that every vocabulary has


class Chunk(Struct, frozen=True):
    """What one sequence brings to a pass: its next tokens, and the KV cache of the ones before."""

    tokens: list[int]
    cache: Any
    """Of the ModelRunner that made it."""
    wants_all_logits: bool = False
    """Whether the logits after each of its tokens are wanted, not only those after its last one."""

    @property
    def num_logits(self) -> int:
        return len(self.tokens) if self.wants_all_logits else 1


class ModelRunner(Struct, frozen=True):
    """A way to compute logits [N, V], of all chunks behind one another: after each one's last token, or all of its."""

    new_cache: Callable[[], Any]
    """The KV cache of an empty sequence."""
    logits: Callable[[Sequence[Chunk]], torch.Tensor]
    cache_bytes_per_token: int
    """Measured."""
    trial_logits: torch.Tensor
    """[N, V] of `tried`: what another way to compute them has to come to."""
    is_batched: bool
    pool: PagePool | None = None
    """What all its KV caches have their memory of; without one, each has its own."""

    @property
    def logits_bytes(self) -> int:
        """Of one token's logits."""
        return self.trial_logits[0].nbytes


def choose(model: PreTrainedModel) -> ModelRunner:
    """All sequences together where a trial shows that it is right for this model; else one after another."""
    new, logits = partial(DynamicCache, config=model.config), partial(_one_by_one, model)
    expected, caches = tried(new, logits)
    alone = ModelRunner(new, logits, _bytes_per_token(caches[0]), expected, is_batched=False)

    def batched() -> ModelRunner:
        model.set_attn_implementation(ATTENTION)
        found, caches = tried(KVCache, partial(_together, model))
        check_close(found.float(), expected.float(), TRIAL_TOLERANCE)
        return ModelRunner(KVCache, partial(_together, model), caches[0].bytes_per_token, found, is_batched=True)

    return fast_or_plain(model, "Sequences", fast=batched, plain=lambda: alone)


def _together(model: PreTrainedModel, chunks: Sequence[Chunk]) -> torch.Tensor:
    tokens = [token for chunk in chunks for token in chunk.tokens]
    found = model(
        input_ids=torch.tensor([tokens], device=model.device),
        position_ids=torch.tensor([positions(chunks)], device=model.device),
        use_cache=False,
        logits_to_keep=torch.tensor(kept(chunks), device=model.device),
        chunks=chunks,
    )
    for chunk in chunks:
        chunk.cache.length += len(chunk.tokens)
    logits_NV: torch.Tensor = found.logits[0]
    return logits_NV


def positions(chunks: Sequence[Chunk]) -> list[int]:
    """Of a pass's tokens in their sequences."""
    return [at for chunk in chunks for at in range(chunk.cache.length, chunk.cache.length + len(chunk.tokens))]


def kept(chunks: Sequence[Chunk]) -> list[int]:
    """The tokens of a pass after which logits are wanted."""
    found: list[int] = []
    end = 0
    for chunk in chunks:
        end += len(chunk.tokens)
        found += range(end - chunk.num_logits, end)
    return found


def _one_by_one(model: PreTrainedModel, chunks: Sequence[Chunk]) -> torch.Tensor:
    found = []
    for chunk in chunks:
        tokens_1T = torch.tensor([chunk.tokens], device=model.device)
        logits_TV = model(input_ids=tokens_1T, past_key_values=chunk.cache, use_cache=True).logits[0]
        found.append(logits_TV[-chunk.num_logits :])
    return torch.cat(found)


@torch.inference_mode()
def tried(
    new_cache: Callable[[], Any], logits: Callable[[Sequence[Chunk]], torch.Tensor]
) -> tuple[torch.Tensor, list[Any]]:
    """The logits of two sequences after their last tokens, which come in a pass of their own; and their KV caches."""
    caches = [new_cache() for _ in TRIAL]
    logits([Chunk(list(tokens[:-1]), own) for tokens, own in zip(TRIAL, caches, strict=True)])
    return logits([Chunk([tokens[-1]], own) for tokens, own in zip(TRIAL, caches, strict=True)]), caches


def _bytes_per_token(cache: DynamicCache) -> int:
    """Of the layers that keep something of each token; what a recurrent layer keeps does not grow."""
    kept = [(getattr(layer, "keys", None), getattr(layer, "values", None)) for layer in cache.layers]
    tensors = [tensor for pair in kept for tensor in pair if isinstance(tensor, torch.Tensor) and tensor.dim() == 4]
    return sum(tensor.nbytes // tensor.shape[2] for tensor in tensors if tensor.shape[2])


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
    chunks: Sequence[Chunk] = (),
    **others: object,
) -> tuple[torch.Tensor, None]:
    """Causal attention of each chunk's tokens to their sequence; `chunks` comes through the model's keyword arguments.

    Raises NotImplementedError for a model whose attention is more than that.
    """
    refuse_others(module, others)
    layer: Any = module.layer_idx
    lengths = [len(chunk.tokens) for chunk in chunks]
    found = []
    for chunk, query, key, value in zip(
        chunks, query_1HTD.split(lengths, 2), key_1HTD.split(lengths, 2), value_1HTD.split(lengths, 2), strict=True
    ):
        keys, values = chunk.cache.append(layer, key, value)
        seen = attended(query.to(keys.dtype), keys, values, window=sliding_window, scale=scaling, softcap=softcap)
        found.append(seen)
    return torch.cat(found, dim=2).to(query_1HTD.dtype).transpose(1, 2).contiguous(), None


AttentionInterface.register(ATTENTION, attend)
