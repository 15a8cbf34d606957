"""Modules that are imported when something is asked of them that is not answered without them.

A stand-in is in a module's place until then, and answers what libraries ask in passing. Nothing is lost: whatever else
is asked of it, a submodule included, brings the real one in. Whoever still holds the stand-in gets the real one's.
"""

import sys
import threading
from collections.abc import Sequence
from importlib import import_module
from importlib.abc import Loader, MetaPathFinder
from importlib.machinery import ModuleSpec
from importlib.util import find_spec
from types import ModuleType
from typing import Any


class StandIn(ModuleType):
    """In the place of the module of its name. What its class has is what it answers itself."""

    light: frozenset[str] = frozenset()
    """Modules below it that need none of it."""

    def __getattr__(self, name: str) -> Any:  # noqa: ANN401  whatever the module has
        if name.startswith("__"):
            raise AttributeError(name)  # Python's `inspect` asks every module for such, whatever it looks for
        return import_module(f"{self.__name__}.{name}") if name in self.light else getattr(real(self), name)


_all: list[StandIn] = []
_taking_away = threading.Lock()


def put(stand_in: StandIn) -> None:
    """Have it in its module's place, unless that is there: then it costs nothing any more.

    A module that uses another one is to be put after it.
    """
    name = stand_in.__name__
    spec = None if name in sys.modules else find_spec(name)
    if spec is None:
        return
    stand_in.__spec__ = spec
    if spec.submodule_search_locations is not None:
        stand_in.__path__ = spec.submodule_search_locations
        sys.meta_path.insert(0, _Submodules(stand_in))
    sys.modules[name] = stand_in
    parent, _, own = name.rpartition(".")
    if parent:
        vars(sys.modules[parent])[own] = stand_in
    _all.append(stand_in)


def real(stand_in: StandIn) -> ModuleType:
    """The real one, from now on in the place of the stand-in. So are those that were put before: it uses them."""
    if is_in_place(stand_in):
        for below in _all[: _all.index(stand_in) + 1]:
            _take_away(below)
            _imported(below)
    return _imported(stand_in)


def bring_all_in() -> None:
    """Have the real ones in the place of all stand-ins."""
    for stand_in in _all:
        real(stand_in)


def is_in_place(stand_in: StandIn) -> bool:
    """Whether the real one is still to come."""
    return sys.modules.get(stand_in.__name__) is stand_in


def _take_away(stand_in: StandIn) -> None:
    with _taking_away:
        if is_in_place(stand_in):
            del sys.modules[stand_in.__name__]
            parent, _, own = stand_in.__name__.rpartition(".")
            if parent:
                del vars(sys.modules[parent])[own]


def _imported(stand_in: StandIn) -> ModuleType:
    module = import_module(stand_in.__name__)
    for name in stand_in.light:
        vars(module).setdefault(name, import_module(f"{stand_in.__name__}.{name}"))  # one that was first is not bound
    return module


class _Submodules(MetaPathFinder, Loader):
    """Finds the modules below a stand-in. The real one imports most of them itself, and each must be there once."""

    def __init__(self, stand_in: StandIn) -> None:
        self._above = stand_in

    def find_spec(
        self, fullname: str, path: Sequence[str] | None, target: ModuleType | None = None
    ) -> ModuleSpec | None:
        del path, target
        before, _, name = fullname.partition(f"{self._above.__name__}.")
        if before or not name or name in self._above.light or not is_in_place(self._above):
            return None
        real(self._above)
        return ModuleSpec(fullname, self) if fullname in sys.modules else None

    def create_module(self, spec: ModuleSpec) -> ModuleType:
        return sys.modules[spec.name]

    def exec_module(self, module: ModuleType) -> None:
        """Nothing is left to do: the real one's import has run it."""
