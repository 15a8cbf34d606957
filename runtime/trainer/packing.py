"""Documents one behind another in a single row, without padding: each attends to itself alone, positions restart.

A padded batch computes on padding: with mixed lengths more than half of it. Here every computed token is a real one,
and every document gets the states that it would get alone.
"""

from collections.abc import Sequence
from itertools import accumulate
from typing import Any

import torch
from msgspec import Struct
from torch import nn
from torch.nn.attention.varlen import varlen_attn
from transformers import AttentionInterface

from runtime.model.attention import attended, refuse_others
from runtime.model.varlen import fewer_key_heads, may_be_one_call
from runtime.trainer.documents import Document

ATTENTION = "lathe_packed"
IGNORED = -100  # cross-entropy's own mark for "no target here"


class Documents(Struct, frozen=True):
    """Where N documents lie in a row: their lengths, and on the device their first tokens' places and the row's end."""

    lengths: tuple[int, ...]
    starts_N1: torch.Tensor


class Packed(Struct, frozen=True):
    """Documents in a row of T tokens. `targets_T` is each token's successor where that is learned, else IGNORED."""

    input_ids_1T: torch.Tensor
    position_ids_1T: torch.Tensor
    targets_T: torch.Tensor
    documents: Documents


def pack(documents: Sequence[Document], device: str) -> Packed:
    """Lay documents (of two tokens at least) behind one another.

    >>> row = pack([Document([5, 6, 7], [(2, 3)]), Document([8, 9], [(1, 2)])], "cpu")
    >>> row.position_ids_1T.tolist(), row.targets_T.tolist()
    ([[0, 1, 2, 0, 1]], [-100, 7, -100, 9, -100])
    """
    tokens = [token for document in documents for token in document.tokens]
    positions = [position for document in documents for position in range(len(document))]
    targets = [target for document in documents for target in targets_of(document)]
    lengths = tuple(map(len, documents))
    return Packed(
        torch.tensor([tokens], device=device),
        torch.tensor([positions], device=device),
        torch.tensor(targets, device=device),
        Documents(lengths, torch.tensor([0, *accumulate(lengths)], dtype=torch.int32, device=device)),
    )


def targets_of(document: Document) -> list[int]:
    """What each token predicts: its successor where that is learned, else IGNORED."""
    targets = [IGNORED] * len(document)
    for begin, end in document.spans:
        targets[begin - 1 : end - 1] = document.tokens[begin:end]
    return targets


def attend(  # noqa: PLR0913, PLR0917  transformers' attention interface
    module: nn.Module,
    query_1HTD: torch.Tensor,
    key_1HTD: torch.Tensor,
    value_1HTD: torch.Tensor,
    attention_mask: torch.Tensor | None,  # noqa: ARG001  None: transformers makes no mask for an attention of this name
    scaling: float | None = None,
    dropout: float = 0.0,
    sliding_window: int | None = None,
    softcap: float | None = None,
    documents: Documents | None = None,
    **others: object,
) -> tuple[torch.Tensor, None]:
    """Causal attention inside each document; `documents` comes through the model's keyword arguments.

    No mask: torch's flash kernels take none, and one of T x T would cost more than the rest. A GPU has a kernel for
    documents of unequal lengths; elsewhere it is one call a document. Without `documents` the row is the last tokens of
    one document, whose earlier keys and values may come from a KV cache.
    Raises NotImplementedError for a model whose attention is more than that.
    """
    refuse_others(module, others)
    if documents is not None and may_be_one_call(query_1HTD, softcap, dropout):
        return in_one_call(query_1HTD, key_1HTD, value_1HTD, documents, sliding_window, scaling), None
    states = (query_1HTD, key_1HTD, value_1HTD)
    parts = ((each,) if documents is None else each.split(documents.lengths, 2) for each in states)
    found = [
        attended(query, key, value, window=sliding_window, scale=scaling, softcap=softcap, dropout=dropout)
        for query, key, value in zip(*parts, strict=True)
    ]
    return torch.cat(found, dim=2).transpose(1, 2).contiguous(), None


def in_one_call(  # noqa: PLR0913, PLR0917
    query_1HTD: torch.Tensor,
    key_1HTD: torch.Tensor,
    value_1HTD: torch.Tensor,
    documents: Documents,
    sliding_window: int | None,
    scaling: float | None,
) -> torch.Tensor:
    """All documents' attention [1, T, H, D]."""
    query_THD, key_THD, value_THD = (states[0].transpose(0, 1) for states in (query_1HTD, key_1HTD, value_1HTD))
    longest = max(documents.lengths)
    found_THD: Any = varlen_attn(
        query_THD,
        key_THD,
        value_THD,
        documents.starts_N1,
        documents.starts_N1,
        longest,
        longest,
        scale=scaling,
        window_size=(-1 if sliding_window is None else sliding_window - 1, 0),  # beside the token itself
        **fewer_key_heads(varlen_attn),
    )
    return torch.unsqueeze(found_THD, 0)


AttentionInterface.register(ATTENTION, attend)
