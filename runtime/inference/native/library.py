"""The compiled kernels in this process, and the threads that they compute with."""

import ctypes as c
from functools import cache

import torch

from runtime.inference.native.compiling import Unavailable, compiled
from runtime.inference.native.structures import Model, Pass

NEEDED = ("avx512_f", "avx512_bw", "avx512_vl", "avx512_dq", "avx512_bf16", "fma3")


@cache
def load() -> c.CDLL:
    """Raises Unavailable."""
    capabilities = torch.cpu.get_capabilities()
    missing = [name for name in NEEDED if not capabilities.get(name)]
    if missing:
        raise Unavailable(f"this CPU has no {missing[0]}")
    try:
        loaded = c.CDLL(str(compiled()))
    except OSError as error:
        raise Unavailable(f"the compiled kernels cannot be loaded: {error}") from error
    loaded.lathe_assemble.argtypes = [c.c_int]
    loaded.lathe_assemble.restype = c.c_void_p
    for function, result in ((loaded.lathe_scratch, c.c_int64), (loaded.lathe_pass, c.c_int)):
        function.argtypes = [c.c_void_p, c.POINTER(Model), c.POINTER(Pass)]
        function.restype = result
    return loaded


@cache
def team(threads: int) -> int:
    """Threads that compute passes, for the life of the process. Raises Unavailable."""
    assembled: int | None = load().lathe_assemble(threads)
    if assembled is None:
        raise Unavailable(f"{threads} threads cannot be started")
    return assembled
