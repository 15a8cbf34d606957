"""The instruction sets that there are kernels for, the best one first."""

from typing import NamedTuple


class InstructionSet(NamedTuple):
    name: str
    machine: str
    """As `platform` calls it."""
    needed: tuple[str, ...]
    """Of the CPU, as torch calls them."""
    flags: tuple[str, ...]
    """Of the compiler. `-march=native` would say what a virtual machine's CPU has, not what its system allows."""
    dtype: str
    """What a model computes in on such a CPU (runtime/model/device.py), and its KV caches are kept in."""
    packs: bool
    """Whether bitsandbytes packs its weights for it."""


AVX512_BF16 = InstructionSet(
    "avx512_bf16",
    "x86_64",
    ("avx512_f", "avx512_bw", "avx512_vl", "avx512_dq", "avx512_bf16", "fma3"),
    ("-mavx512f", "-mavx512bw", "-mavx512vl", "-mavx512dq", "-mavx512bf16", "-mfma"),
    "bfloat16",
    packs=True,
)
AVX2 = InstructionSet("avx2", "x86_64", ("avx2", "fma3"), ("-mavx2", "-mfma"), "float32", packs=False)
NEON = InstructionSet("neon", "aarch64", ("neon",), (), "float32", packs=False)
SETS = (AVX512_BF16, AVX2, NEON)
