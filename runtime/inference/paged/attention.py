"""Attention to keys and values in pages: by torch's flash kernel where it takes pages, else to a gathered copy."""

from typing import Any

import torch
from msgspec import Struct
from torch import nn
from torch.nn.attention.varlen import varlen_attn
from torch.nn.functional import scaled_dot_product_attention
from transformers import AttentionInterface

from runtime.inference.paged.pool import PagePool
from runtime.model.attention import attended, capped, refuse_others
from runtime.model.varlen import fewer_key_heads, may_be_one_call

ATTENTION = "lathe_paged"


class PagedPass(Struct, frozen=True, kw_only=True):
    """T tokens of N sequences, all behind one another, and where their keys and values are. Sizes are int32."""

    pool: PagePool
    slots_T: torch.Tensor
    """Where each token's keys and values are to be written."""
    table_NW: torch.Tensor
    """The pages of each sequence, and any behind them."""
    lengths_N: torch.Tensor
    """Of the sequences, this pass's tokens included."""
    starts_N1: torch.Tensor
    """Where each sequence's tokens begin among the T, and where the last one's end."""
    sizes: tuple[tuple[int, int], ...] | None
    """Of each sequence, its tokens in this pass and its length; None where each has one token, and this may be recorded
    to be computed again with other lengths."""
    by_flash: bool

    @property
    def longest(self) -> int:
        """The most tokens that a sequence has in this pass."""
        return 1 if self.sizes is None else max(tokens for tokens, _ in self.sizes)


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
    paged: PagedPass | None = None,
    **others: object,
) -> tuple[torch.Tensor, None]:
    """Causal attention [1, T, H, D] of each sequence's tokens; `paged` comes through the model's keyword arguments.

    Raises NotImplementedError for a model whose attention is more than that.
    """
    refuse_others(module, others)
    if paged is None:
        raise NotImplementedError(f"{type(module).__name__} does not pass on what it is called with")
    layer: Any = module.layer_idx
    keys, values = paged.pool.write(layer, paged.slots_T, key_1HTD, value_1HTD)
    query = query_1HTD.to(keys.dtype)
    if paged.by_flash and may_be_one_call(query, softcap, 0.0):
        found_THD = _by_flash(query, keys, values, paged, sliding_window, scaling)
    elif paged.sizes is None:
        found_THD = _of_rows(query, keys, values, paged, sliding_window, scaling, softcap)
    else:
        found_THD = _one_by_one(query, keys, values, paged, sliding_window, scaling, softcap)
    return found_THD.to(query_1HTD.dtype).contiguous()[None], None


def _by_flash(  # noqa: PLR0913, PLR0917
    query_1HTD: torch.Tensor,
    keys: torch.Tensor,
    values: torch.Tensor,
    paged: PagedPass,
    window: int | None,
    scale: float | None,
) -> torch.Tensor:
    """One call, without a copy of keys.

    A sequence's keys are not split (`num_splits`): where torch 2.13 decides by itself to split those in pages, rows of
    all sequences but the first may stay unwritten. A single token that sees everything needs no causal mask, and
    without one the kernel reads keys once for all the query heads that share them.
    """
    sees_all = paged.longest == 1 and window is None
    found_THD: Any = varlen_attn(
        query_1HTD[0].transpose(0, 1),
        keys,
        values,
        paged.starts_N1,
        nn.functional.pad(paged.lengths_N.cumsum(0, dtype=torch.int32), (1, 0)),
        paged.longest,
        paged.table_NW.shape[1] * keys.shape[1],  # a bound that no length passes, also when a graph is replayed
        scale=scale,
        window_size=(-1, -1) if sees_all else (-1 if window is None else window - 1, 0),
        seqused_k=paged.lengths_N,
        block_table=paged.table_NW,
        num_splits=1,
        **fewer_key_heads(varlen_attn),
    )
    return torch.as_tensor(found_THD)


def _of_rows(  # noqa: PLR0913, PLR0917
    query_1HND: torch.Tensor,
    keys: torch.Tensor,
    values: torch.Tensor,
    paged: PagedPass,
    window: int | None,
    scale: float | None,
    softcap: float | None,
) -> torch.Tensor:
    """[N, H, D] for a token of each sequence. Nothing depends on how long the sequences are but what is masked."""
    gathered = [_gathered(part, paged.table_NW) for part in (keys, values)]
    positions_S = torch.arange(gathered[0].shape[2], device=keys.device)
    lengths_N1 = paged.lengths_N[:, None]
    seen_NS = positions_S < lengths_N1
    if window is not None:
        seen_NS = seen_NS & (positions_S >= lengths_N1 - window)
    # what a masked place holds may be another sequence's NaN, and nothing times NaN is NaN
    keys_NHSD, values_NHSD = (part.masked_fill(~seen_NS[:, None, :, None], 0) for part in gathered)
    query_NH1D = query_1HND[0].transpose(0, 1)[:, :, None]
    seen_N11S = seen_NS[:, None, None]
    if softcap is None:
        found_NH1D = scaled_dot_product_attention(
            query_NH1D,
            keys_NHSD,
            values_NHSD,
            attn_mask=seen_N11S,
            scale=scale,
            enable_gqa=query_NH1D.shape[1] != keys_NHSD.shape[1],
        )
    else:
        groups = query_NH1D.shape[1] // keys_NHSD.shape[1]
        keys_NHSD, values_NHSD = (part.repeat_interleave(groups, dim=1) for part in (keys_NHSD, values_NHSD))
        found_NH1D = capped(
            query_NH1D, keys_NHSD, values_NHSD, mask_TS=seen_N11S, scale=scale, softcap=softcap, dropout=0.0
        )
    return found_NH1D[:, :, 0]


def _one_by_one(  # noqa: PLR0913, PLR0917
    query_1HTD: torch.Tensor,
    keys: torch.Tensor,
    values: torch.Tensor,
    paged: PagedPass,
    window: int | None,
    scale: float | None,
    softcap: float | None,
) -> torch.Tensor:
    """[T, H, D], a sequence at a time."""
    sizes = paged.sizes or ()
    found = []
    for row, (query, (_, length)) in enumerate(
        zip(query_1HTD.split([tokens for tokens, _ in sizes], 2), sizes, strict=True)
    ):
        table_1W = paged.table_NW[row : row + 1, : -(-length // keys.shape[1])]
        own_keys, own_values = (_gathered(part, table_1W)[:, :, :length] for part in (keys, values))
        found.append(attended(query, own_keys, own_values, window=window, scale=scale, softcap=softcap))
    return torch.cat(found, dim=2)[0].transpose(0, 1)


def _gathered(part: torch.Tensor, table_NW: torch.Tensor) -> torch.Tensor:
    """Each row's pages behind one another, [N, H, S, D]."""
    rows, width = table_NW.shape
    _, page, heads, size = part.shape
    return part.index_select(0, table_NW.flatten()).view(rows, width * page, heads, size).transpose(1, 2)


AttentionInterface.register(ATTENTION, attend)
