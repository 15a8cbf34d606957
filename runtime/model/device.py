"""From the facts of the machine to the setup of a model on it: device, precision, optimizer.

`choose` is pure: it is tested for machines that we don't have. `pick` looks at this one. The trainer prints the setup's
reasons, so that a log says why a run used what it used.
"""

import os
from typing import Literal

import torch
from msgspec import Struct

from runtime.process import memory
from state.config import Precision

Kind = Literal["cuda", "mps", "cpu"]
DtypeName = Literal["bfloat16", "float16", "float32"]

SMALL_CUDA_MB = 16_000  # below this a paged 8-bit AdamW keeps a 7B run from failing at its memory peak
# A row's tokens share one dequantization of the base. On 2 cores it takes the time of some 130 tokens: 370M in rows of
# 512, 1,024 and 2,048 tokens made 255, 290 and 284 tokens/s. An accelerator multiplies faster, and gains for longer.
CPU_ROW, ACCELERATOR_ROW = 1024, 8192


class Facts(Struct, frozen=True, kw_only=True):
    """What a setup depends on. `memory_mb` is the accelerator's own, or what the machine and a control group leave."""

    kind: Kind
    name: str
    memory_mb: int
    supports_bf16: bool


class Setup(Struct, frozen=True, kw_only=True):
    """How to run: `device` as torch names it, `dtype` of the computation around the NF4 weights."""

    device: str
    dtype: DtypeName
    optimizer: Literal["adamw", "paged_adamw_8bit"]
    row_tokens: int
    """How long a row of packed documents gains speed; beyond it, it only takes memory."""
    memory_mb: int
    """The accelerator's own, or the machine's, in 2^20 bytes."""
    may_offload: bool
    """Whether what is kept for the backward pass can wait in the machine's memory instead."""
    reasons: tuple[str, ...]

    @property
    def torch_dtype(self) -> torch.dtype:
        dtypes = {"bfloat16": torch.bfloat16, "float16": torch.float16, "float32": torch.float32}
        return dtypes[self.dtype]


def pick(precision: Precision | None = None) -> Setup:
    """The setup for this machine, in a precision that was asked for or in its own."""
    return choose(facts(), precision)


def choose(facts: Facts, precision: Precision | None = None) -> Setup:
    dtype, why = (precision, f"{precision}: asked for") if precision else _dtype(facts)
    small = facts.kind == "cuda" and facts.memory_mb < SMALL_CUDA_MB
    reasons = [f"{facts.kind}: {facts.name}, {facts.memory_mb / 1024:.0f} GiB", why]
    if small:
        reasons.append("paged 8-bit AdamW: this GPU has less than 16 GB")
    return Setup(
        device="cuda:0" if facts.kind == "cuda" else facts.kind,
        dtype=dtype,
        optimizer="paged_adamw_8bit" if small else "adamw",
        row_tokens=CPU_ROW if facts.kind == "cpu" else ACCELERATOR_ROW,
        memory_mb=facts.memory_mb,
        may_offload=facts.kind == "cuda",
        reasons=tuple(reasons),
    )


def _dtype(facts: Facts) -> tuple[DtypeName, str]:
    if facts.supports_bf16:
        return "bfloat16", f"bf16: this {facts.kind.upper()} device supports it"
    if facts.kind == "cpu":
        return "float32", "float32: this CPU has no bf16 arithmetic, and would emulate it slowly"
    # float16 overflows in training without loss scaling; older GPUs have ample float32 rate for LoRA's small matrices
    return "float32", f"float32: this {facts.kind.upper()} device has no bf16, and float16 overflows in training"


def facts() -> Facts:
    """Look at the machine: CUDA first, then Apple's MPS, else the CPU."""
    if torch.cuda.is_available():
        properties = torch.cuda.get_device_properties(0)
        return Facts(
            kind="cuda",
            name=properties.name,
            memory_mb=properties.total_memory // 2**20,
            supports_bf16=torch.cuda.is_bf16_supported(including_emulation=False),
        )
    if torch.backends.mps.is_available():
        return Facts(
            kind="mps",
            name="Apple silicon",
            memory_mb=int(torch.mps.recommended_max_memory()) // 2**20,
            supports_bf16=torch.backends.mps.is_macos_or_newer(14, 0),
        )
    capabilities = torch.cpu.get_capabilities()
    return Facts(
        kind="cpu",
        name=f"{os.cpu_count()} cores, {torch.backends.cpu.get_cpu_capability()}",
        memory_mb=min(os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES"), memory.free_in_cgroups()) // 2**20,
        supports_bf16=bool(capabilities.get("avx512_bf16") or capabilities.get("amx_tile")),
    )
