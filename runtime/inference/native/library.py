"""The compiled kernels in this process, and the threads that they compute with."""

import ctypes as c
from functools import cache

import torch

from runtime.inference.native.compiling import Unavailable, compiled
from runtime.inference.native.instructions import SETS, InstructionSet
from runtime.inference.native.structures import Model, Pass


def best() -> InstructionSet:
    """Of those that this CPU has. Raises Unavailable."""
    capabilities = torch.cpu.get_capabilities()
    for instructions in SETS:
        if all(capabilities.get(name) for name in instructions.needed):
            return instructions
    raise Unavailable(f"this CPU has none of {', '.join(instructions.name for instructions in SETS)}")


@cache
def load(instructions: InstructionSet) -> c.CDLL:
    """Raises Unavailable."""
    try:
        loaded = c.CDLL(str(compiled(instructions)))
    except OSError as error:
        raise Unavailable(f"the compiled kernels cannot be loaded: {error}") from error
    loaded.lathe_assemble.argtypes = [c.c_int]
    loaded.lathe_assemble.restype = c.c_void_p
    for function, result in ((loaded.lathe_scratch, c.c_int64), (loaded.lathe_pass, c.c_int)):
        function.argtypes = [c.c_void_p, c.POINTER(Model), c.POINTER(Pass)]
        function.restype = result
    return loaded


@cache
def team(instructions: InstructionSet, threads: int) -> int:
    """Threads that compute passes, for the life of the process. Raises Unavailable."""
    assembled: int | None = load(instructions).lathe_assemble(threads)
    if assembled is None:
        raise Unavailable(f"{threads} threads cannot be started")
    return assembled
