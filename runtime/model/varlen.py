"""torch's flash attention for sequences of unequal lengths: when it computes an attention, and how it is called.

Its arguments have grown from version to version, so its signature is looked at: torch 2.11 takes fewer key heads than
query heads without being told, and has no pages.
"""

import inspect
from collections.abc import Callable
from functools import cache
from typing import Any

import torch
from torch.nn.attention.varlen import varlen_attn

FLASH_HEAD = 256  # the widest head that flash attention takes, in multiples of FLASH_STEP
FLASH_STEP = 8
AMPERE = 8  # the first generation of GPUs that flash attention is written for
PAGES = ("block_table", "seqused_k", "num_splits")


def may_be_one_call(query_1HTD: torch.Tensor, softcap: float | None, dropout: float) -> bool:
    """Whether the kernel computes this."""
    if not query_1HTD.is_cuda or query_1HTD.dtype == torch.float32 or softcap is not None or dropout > 0:
        return False
    width = query_1HTD.shape[-1]
    has_kernel = torch.cuda.get_device_capability(query_1HTD.device)[0] >= AMPERE
    return has_kernel and width <= FLASH_HEAD and width % FLASH_STEP == 0


@cache
def fewer_key_heads(kernel: Callable[..., Any]) -> dict[str, Any]:
    """What tells the kernel that keys may have fewer heads than queries."""
    return {"enable_gqa": True} if "enable_gqa" in inspect.signature(kernel).parameters else {}


@cache
def takes_pages() -> bool:
    """Whether this torch's kernel finds keys and values in pages."""
    return set(PAGES) <= inspect.signature(varlen_attn).parameters.keys()
