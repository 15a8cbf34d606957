"""Documents one behind another in a single row, without padding: each attends to itself alone, positions restart.

A padded batch computes on padding: with mixed lengths more than half of it. Here every computed token is a real one,
and every document gets the states that it would get alone.
"""

from collections.abc import Sequence

import torch
from msgspec import Struct
from torch import nn
from torch.nn.functional import scaled_dot_product_attention
from transformers import AttentionInterface

ATTENTION = "lathe_packed"
IGNORED = -100  # cross-entropy's own mark for "no target here"
NOT_IN_SDPA = ("softcap", "s_aux")  # what some models' attention adds, and torch's kernel cannot


class Packed(Struct, frozen=True):
    """Documents in a row of T tokens. `targets_T` is each token's successor; a document's last token has none."""

    input_ids_1T: torch.Tensor
    position_ids_1T: torch.Tensor
    targets_T: torch.Tensor
    lengths: tuple[int, ...]


def pack(documents: Sequence[list[int]], device: str) -> Packed:
    """Lay documents (token ids, two at least) behind one another.

    >>> pack([[5, 6, 7], [8, 9]], "cpu").position_ids_1T.tolist()
    [[0, 1, 2, 0, 1]]
    """
    tokens = [token for ids in documents for token in ids]
    positions = [position for ids in documents for position in range(len(ids))]
    targets = [target for ids in documents for target in (*ids[1:], IGNORED)]
    return Packed(
        torch.tensor([tokens], device=device),
        torch.tensor([positions], device=device),
        torch.tensor(targets, device=device),
        tuple(len(ids) for ids in documents),
    )


def attend(  # noqa: PLR0913, PLR0917  transformers' attention interface
    module: nn.Module,
    query_1HTD: torch.Tensor,
    key_1HTD: torch.Tensor,
    value_1HTD: torch.Tensor,
    attention_mask: torch.Tensor | None,  # noqa: ARG001  None: transformers makes no mask for an attention of this name
    scaling: float | None = None,
    dropout: float = 0.0,
    sliding_window: int | None = None,
    document_lengths: tuple[int, ...] | None = None,
    **others: object,
) -> tuple[torch.Tensor, None]:
    """Causal attention inside each document; `document_lengths` comes through the model's keyword arguments.

    One kernel call a document: torch's flash kernels take no mask, and a mask of T x T would cost more than the rest.
    Raises NotImplementedError for a model whose attention is more than that.
    """
    if not getattr(module, "is_causal", True) or any(others.get(name) is not None for name in NOT_IN_SDPA):
        raise NotImplementedError(f"{type(module).__name__} attends in a way of its own")
    lengths = list(document_lengths or (query_1HTD.shape[2],))
    attended = [
        scaled_dot_product_attention(
            query,
            key,
            value,
            attn_mask=_band(query, sliding_window),
            is_causal=_band(query, sliding_window) is None,
            dropout_p=dropout,
            scale=scaling,
            enable_gqa=query.shape[1] != key.shape[1],
        )
        for query, key, value in zip(
            query_1HTD.split(lengths, 2), key_1HTD.split(lengths, 2), value_1HTD.split(lengths, 2), strict=True
        )
    ]
    return torch.cat(attended, dim=2).transpose(1, 2).contiguous(), None


def _band(query_1HTD: torch.Tensor, sliding_window: int | None) -> torch.Tensor | None:
    """The mask of a sliding window; None for a document that is shorter than the window."""
    length = query_1HTD.shape[2]
    if sliding_window is None or length <= sliding_window:
        return None
    seen_TT = torch.ones(length, length, dtype=torch.bool, device=query_1HTD.device).tril()
    return seen_TT.triu(1 - sliding_window)


AttentionInterface.register(ATTENTION, attend)
