"""torch and bitsandbytes, imported without the part of them that no process of Lathe's uses.

bitsandbytes puts torch.compile around four of its functions as it is imported, and that alone brings in torch's
compiler: 1.4 s of the 5.2 s of CPU time that a trainer's imports take (2 cores, torch 2.13). Lathe compiles nothing,
and on a CPU and on CUDA bitsandbytes has kernels of its own in place of all four.
"""

from collections.abc import Callable
from importlib import import_module
from typing import Any

from runtime.process import machine


def load() -> None:
    """Import both. To be called before peft and transformers import them."""
    torch: Any = import_module("torch")
    compiling = torch.compile
    if machine.inspect().device != "mps":  # where bitsandbytes does run what it compiles
        torch.compile = _as_it_is
    try:
        import_module("bitsandbytes")
    finally:
        torch.compile = compiling


def _as_it_is(function: Callable[..., Any] | None = None, **_: object) -> Callable[..., Any]:
    """In the place of torch.compile, used as a decorator with options or without."""
    return function if function is not None else _as_it_is
