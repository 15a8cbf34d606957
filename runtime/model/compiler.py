"""torch without its compiler: what asks for the compiler in passing gets a stand-in, and the rest the real one.

Lathe compiles nothing. But torch's optimizers and checkpoints of activations, transformers and bitsandbytes import
`torch._dynamo` to say that a function of theirs is not to be compiled, and that alone takes 1.2 s of CPU time and 75 MB
of memory of each process that computes (torch 2.13, transformers 5.23). Nothing is lost: whatever else is asked of the
stand-in, a submodule included, brings the real module in. What the stand-in answers itself was read in torch 2.11 and
2.13, and takes any arguments.
"""

import sys
import threading
from collections.abc import Callable, Sequence
from contextlib import nullcontext
from importlib import import_module
from importlib.abc import Loader, MetaPathFinder
from importlib.machinery import ModuleSpec
from importlib.util import find_spec
from types import ModuleType
from typing import Any

NAME = "torch._dynamo"
LIGHT = frozenset({"config", "_trace_wrapped_higher_order_op"})
"""Modules below it that need none of it: settings, and a name that transformers' masks import."""


def postpone() -> None:
    """Have torch's compiler imported when it is needed. To be called before the libraries that name it are imported."""
    torch = import_module("torch")
    spec = None if NAME in sys.modules else find_spec(NAME)
    if spec is None:
        return  # it is there, and costs nothing any more
    stand_in = _Compiler(NAME)
    stand_in.__spec__, stand_in.__path__ = spec, spec.submodule_search_locations or []
    sys.modules[NAME] = vars(torch)["_dynamo"] = stand_in
    sys.meta_path.insert(0, _Submodules())


def bring_in() -> None:
    """Have the real one in the place of the stand-in, where that is still there."""
    if isinstance(sys.modules.get(NAME), _Compiler):
        _real()


class _Frames:
    """In the place of `torch._dynamo.eval_frame`. As long as nothing is compiled no module is a compiled one."""

    class OptimizedModule:
        pass

    def __getattr__(self, name: str) -> Any:  # noqa: ANN401  whatever the module has
        return getattr(_real().eval_frame, name)


class _Compiler(ModuleType):
    """In the place of `torch._dynamo`: its decorators leave functions as they are."""

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

    def __getattr__(self, name: str) -> Any:  # noqa: ANN401  whatever the module has
        if name.startswith("__"):
            raise AttributeError(name)  # Python's `inspect` asks every module for such, whatever it looks for
        return import_module(f"{NAME}.{name}") if name in LIGHT else getattr(_real(), name)


class _Submodules(MetaPathFinder, Loader):
    """Finds the modules below the stand-in. The real one imports most of them itself, and each must be there once."""

    def find_spec(
        self, fullname: str, path: Sequence[str] | None, target: ModuleType | None = None
    ) -> ModuleSpec | None:
        del path, target
        parent, _, name = fullname.partition(f"{NAME}.")
        if parent or not name or name in LIGHT or not isinstance(sys.modules.get(NAME), _Compiler):
            return None
        _real()
        return ModuleSpec(fullname, self) if fullname in sys.modules else None

    def create_module(self, spec: ModuleSpec) -> ModuleType:
        return sys.modules[spec.name]

    def exec_module(self, module: ModuleType) -> None:
        """Nothing is left to do: the real one's import has run it."""


_taking_away = threading.Lock()


def _real() -> ModuleType:
    with _taking_away:
        if isinstance(sys.modules.get(NAME), _Compiler):
            del sys.modules[NAME], vars(sys.modules["torch"])["_dynamo"]
    real = import_module(NAME)
    for name in LIGHT:
        vars(real).setdefault(name, import_module(f"{NAME}.{name}"))  # one that was there first is not bound to it
    return real


class _AsItIs(nullcontext[None]):
    """What `disable()` gives: a decorator, and a context."""

    def __call__(self, fn: Callable[..., Any]) -> Callable[..., Any]:
        return fn
