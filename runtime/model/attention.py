"""One document's or sequence's causal attention, as both the trainer and the inference worker compute it.

torch's own kernel where it can; with a cap on the scores, as in Gemma 2, which no kernel of torch's offers uncompiled,
some queries at a time and computed again in the backward pass, so that a long document never holds all its scores.
"""

from functools import partial

import torch
from torch import nn
from torch.nn.functional import dropout as drop
from torch.nn.functional import scaled_dot_product_attention
from torch.utils.checkpoint import checkpoint

QUERIES_AT_ONCE = 256
UNKNOWN = ("s_aux",)  # sinks, which some models add to the softmax: computed neither here nor by torch's kernel


def refuse_others(module: nn.Module, options: dict[str, object]) -> None:
    """Raise NotImplementedError for a model whose attention is more than causal attention, a window and a cap."""
    if not getattr(module, "is_causal", True) or any(options.get(name) is not None for name in UNKNOWN):
        raise NotImplementedError(f"{type(module).__name__} attends in a way of its own")


def attended(  # noqa: PLR0913
    query_1HTD: torch.Tensor,
    key_1HSD: torch.Tensor,
    value_1HSD: torch.Tensor,
    *,
    window: int | None = None,
    scale: float | None = None,
    softcap: float | None = None,
    dropout: float = 0.0,
) -> torch.Tensor:
    """Attention [1, H, T, D] of the last T of S tokens, each to itself and what is before it, `window` tokens at most.

    Keys and values may have fewer heads than queries. With c = `softcap` a score s counts as c tanh(s / c) (Gemma 2,
    2024).
    """
    new, total = query_1HTD.shape[2], key_1HSD.shape[2]
    if softcap is None:
        # a single token sees all; tokens that are the whole document see what is before them: torch needs no mask
        is_told = (window is None or total <= window) and new in {1, total}
        mask_TS = None if is_told else _seen(new, total, window, query_1HTD.device)
        return scaled_dot_product_attention(
            query_1HTD,
            key_1HSD,
            value_1HSD,
            attn_mask=mask_TS,
            is_causal=mask_TS is None and new > 1,
            dropout_p=dropout,
            scale=scale,
            enable_gqa=query_1HTD.shape[1] != key_1HSD.shape[1],
        )
    groups = query_1HTD.shape[1] // key_1HSD.shape[1]
    keys, values = (part.repeat_interleave(groups, dim=1) for part in (key_1HSD, value_1HSD))
    found = []
    for first in range(0, new, QUERIES_AT_ONCE):
        some = query_1HTD[:, :, first : first + QUERIES_AT_ONCE]
        end = total - new + first + some.shape[2]  # later keys are seen by none of them
        mask_TS = _seen(some.shape[2], end, window, query_1HTD.device)
        computed = partial(capped, mask_TS=mask_TS, scale=scale, softcap=softcap, dropout=dropout)
        found.append(checkpoint(computed, some, keys[:, :, :end], values[:, :, :end], use_reentrant=False))
    return torch.cat(found, dim=2)


def capped(  # noqa: PLR0913
    query_1HTD: torch.Tensor,
    key_1HSD: torch.Tensor,
    value_1HSD: torch.Tensor,
    *,
    mask_TS: torch.Tensor,
    scale: float | None,
    softcap: float,
    dropout: float,
) -> torch.Tensor:
    """The same with a mask of what each token sees, and as many heads of keys and values as of queries."""
    scale = query_1HTD.shape[-1] ** -0.5 if scale is None else scale
    scores_1HTS = softcap * torch.tanh((query_1HTD @ key_1HSD.transpose(2, 3)) * (scale / softcap))
    scores_1HTS = scores_1HTS.masked_fill(~mask_TS, -torch.inf)
    accurate = torch.promote_types(scores_1HTS.dtype, torch.float32)
    weights_1HTS = scores_1HTS.softmax(-1, dtype=accurate).to(value_1HSD.dtype)
    return drop(weights_1HTS, dropout) @ value_1HSD


def _seen(new: int, total: int, window: int | None, device: torch.device) -> torch.Tensor:
    """Which of S tokens each of the last T sees, [T, S]."""
    seen_TS = torch.ones(new, total, dtype=torch.bool, device=device).tril(total - new)
    return seen_TS if window is None else seen_TS.triu(total - new + 1 - window)
