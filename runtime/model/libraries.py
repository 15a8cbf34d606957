"""The libraries that compute, imported without the parts of them that no process of Lathe's uses; or not at all.

Their imports take 1.9 s of CPU time so, and 270 MB; as they come they take 4.8 s and 400 MB (2 cores, torch 2.13,
transformers 5.23). Of the difference,

- 2.0 s are torch's compiler. bitsandbytes puts torch.compile around four of its functions as it is imported. On a CPU
  and on CUDA it has kernels of its own in place of all four.
- 0.3 s are sympy, of which torch asks whether the sizes of a model without its weights are numbers.
- 0.3 s are what transformers imports to spread a model over machines, 0.3 s are its own list of models, read a second
  time, and 0.3 s are the garbage collector, which finds none while modules are imported.

With versions that do not take that, they are imported as they come.
"""

import gc
import logging
import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from importlib import import_module

from runtime.model import compiler, postponed, private, symbols
from runtime.process import machine

log = logging.getLogger(__name__)


def load() -> None:
    """Import torch, bitsandbytes, transformers and peft. To be called before anything else imports one of them."""
    with _uncollected():
        try:
            _load_in_part()
        except Exception as surprise:  # noqa: BLE001  of a version that nobody has read; what is broken raises again
            log.warning("Imports take longer, as these versions need all of torch: %r", surprise)
            private.bring_distributed_in()
            postponed.bring_all_in()
            import_module("bitsandbytes")
            import_module("peft")


def _load_in_part() -> None:
    is_compiling = machine.inspect().device == "mps"  # where bitsandbytes does run what it compiles
    if "torch" not in sys.modules:  # or somebody may have noted already that it is there
        private.leave_out_distributed()
    if not is_compiling:
        symbols.postpone()
        compiler.postpone()
    with nullcontext() if is_compiling else private.uncompiled():
        import_module("bitsandbytes")
    private.list_models_once()
    import_module("peft")


def load_without_torch() -> None:
    """Import transformers alone, which takes torch for absent from now on: a tokenizer does not need it.

    Python's own way to say that there is no such module. transformers and a tokenizer are there after 0.8 s of CPU
    time instead of 1.9, and in 70 MB instead of 270 (transformers 5.23, torch 2.13).
    """
    os.environ["TRANSFORMERS_NO_ADVISORY_WARNINGS"] = "1"  # transformers' advice is to install torch
    sys.modules.setdefault("torch", None)  # type: ignore[arg-type]  # typeshed does not know of it
    with _uncollected():
        private.list_models_once()


@contextmanager
def _uncollected() -> Iterator[None]:
    """What is there at the end is there for good: no later collection looks at it either."""
    gc.disable()
    try:
        yield
    finally:
        gc.freeze()
        gc.enable()
