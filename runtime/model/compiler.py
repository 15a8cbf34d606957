"""torch without its compiler: what asks for the compiler in passing gets a stand-in, and the rest the real one.

Lathe compiles nothing. But torch's optimizers and checkpoints of activations, transformers and bitsandbytes import
`torch._dynamo` to say that a function of theirs is not to be compiled, and that alone takes 1.2 s of CPU time and 75 MB
of memory of each process that computes (torch 2.13, transformers 5.23). What the stand-in answers itself was read in
torch 2.11 and 2.13, and takes any arguments.
"""

from collections.abc import Callable
from contextlib import nullcontext
from importlib import import_module
from typing import Any

from runtime.model import postponed
from runtime.model.postponed import StandIn


def postpone() -> None:
    """Have torch's compiler imported when it is needed. To be called before the libraries that name it are imported."""
    import_module("torch")
    postponed.put(_STAND_IN)


class _Frames:
    """In the place of `torch._dynamo.eval_frame`. As long as nothing is compiled no module is a compiled one."""

    class OptimizedModule:
        pass

    def __getattr__(self, name: str) -> Any:  # noqa: ANN401  whatever the module has
        return getattr(postponed.real(_STAND_IN).eval_frame, name)


class _Compiler(StandIn):
    """In the place of `torch._dynamo`: its decorators leave functions as they are."""

    light = frozenset({"config", "_trace_wrapped_higher_order_op"})  # settings, and a name that transformers imports
    eval_frame = _Frames()

    @staticmethod
    def graph_break(*_: object, **__: object) -> None:
        """There is no graph."""

    @staticmethod
    def disable(fn: Any = None, *_: object, **__: object) -> Any:  # noqa: ANN401  a function, or none yet
        return fn if fn is not None else _AsItIs()

    @staticmethod
    def allow_in_graph(fn: Any) -> Any:  # noqa: ANN401  a function, or several
        return fn

    disallow_in_graph = assume_constant_result = allow_in_graph


_STAND_IN = _Compiler("torch._dynamo")


class _AsItIs(nullcontext[None]):
    """What `disable()` gives: a decorator, and a context."""

    def __call__(self, fn: Callable[..., Any]) -> Callable[..., Any]:
        return fn
