"""torch and bitsandbytes, imported without the part of them that no process of Lathe's uses; or not at all.

bitsandbytes puts torch.compile around four of its functions as it is imported, and that alone brings in torch's
compiler: 1.4 s of the 5.2 s of CPU time that a trainer's imports take (2 cores, torch 2.13). Lathe compiles nothing,
and on a CPU and on CUDA bitsandbytes has kernels of its own in place of all four.
"""

import sys
from contextlib import nullcontext
from importlib import import_module

from runtime.model import private
from runtime.process import machine


def load() -> None:
    """Import both. To be called before peft and transformers import them."""
    is_compiling = machine.inspect().device == "mps"  # where bitsandbytes does run what it compiles
    with nullcontext() if is_compiling else private.uncompiled():
        import_module("bitsandbytes")


def do_without_torch() -> None:
    """Let transformers, which is imported after this, take torch for absent: a tokenizer does not need it.

    Python's own way to say that there is no such module. transformers and a tokenizer are there after 1.7 s of CPU
    time instead of 6.5, and in 68 MB instead of 330 (transformers 5.23, torch 2.13).
    """
    sys.modules.setdefault("torch", None)  # type: ignore[arg-type]  # typeshed does not know of it
