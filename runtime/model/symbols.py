"""torch without its algebra: where shapes are numbers, what asks about symbols gets its answer without sympy.

Lathe's shapes are numbers. But torch computes a tensor without memory (of its device `meta`) in Python, which first
asks whether a size is a symbol, and imports sympy for that: 0.3 s of CPU time and 36 MB of memory at the first model
(torch 2.13). What is answered here for bools and numbers was read in torch 2.11 and 2.13; symbols get the real one's
answer.
"""

from collections.abc import Callable, Iterable
from importlib import import_module
from typing import Any

from runtime.model import postponed
from runtime.model.postponed import StandIn


def postpone() -> None:
    """Have sympy, and what torch makes of it, imported when they are needed."""
    import_module("torch")
    postponed.put(_ALGEBRA)
    postponed.put(_SHAPES)


class _Expressions:
    """In the place of `sympy.Basic`, the class of all expressions. As long as sympy is not there, nothing is one."""

    def __instancecheck__(self, instance: object) -> bool:
        return not postponed.is_in_place(_ALGEBRA) and isinstance(instance, postponed.real(_ALGEBRA).Basic)

    def __mro_entries__(self, _: tuple[object, ...]) -> tuple[type, ...]:
        return (postponed.real(_ALGEBRA).Basic,)

    def __getattr__(self, name: str) -> Any:  # noqa: ANN401  whatever the class has
        return getattr(postponed.real(_ALGEBRA).Basic, name)


class _Algebra(StandIn):
    """In the place of `sympy`."""

    def __getattr__(self, name: str) -> Any:  # noqa: ANN401  whatever the module has
        if name == "Basic" and postponed.is_in_place(self):
            return _Expressions()
        return super().__getattr__(name)


class _Shapes(StandIn):
    """In the place of `torch.fx.experimental.symbolic_shapes`: answers what is asked about bools and numbers."""

    def __getattr__(self, name: str) -> Any:  # noqa: ANN401  whatever the module has
        if name in _ANSWERS and postponed.is_in_place(self):
            return _answering(name)
        return super().__getattr__(name)


_ALGEBRA = _Algebra("sympy")
_SHAPES = _Shapes("torch.fx.experimental.symbolic_shapes")


def _answering(name: str) -> Callable[..., Any]:
    def asked(*args: Any, **how: Any) -> Any:  # noqa: ANN401  as the real one takes them
        answer = NotImplemented if how else _ANSWERS[name](*args)
        return answer if answer is not NotImplemented else getattr(postponed.real(_SHAPES), name)(*args, **how)

    return asked


def _is_so(*conditions: Any) -> Any:  # noqa: ANN401  a bool, or NotImplemented
    return all(conditions) if _are_plain(conditions, bool) else NotImplemented


def _is_either(*conditions: Any) -> Any:  # noqa: ANN401  a bool, or NotImplemented
    return any(conditions) if _are_plain(conditions, bool) else NotImplemented


def _is_equal(*pair: Any) -> Any:  # noqa: ANN401  a bool, or NotImplemented
    one, other = pair
    if isinstance(one, (tuple, list)) and isinstance(other, (tuple, list)):
        return [*one] == [*other] if _are_plain([*one, *other], int) else NotImplemented
    return one == other if _are_plain(pair, int) else NotImplemented


def _known(value: Any, *_: object) -> Any:  # noqa: ANN401  itself, or NotImplemented
    return value if _are_plain([value], bool, int) else NotImplemented


def _is_known(value: Any) -> Any:  # noqa: ANN401  a bool, or NotImplemented
    return True if _are_plain([value], bool, int, float) else NotImplemented


def _is_ragged(value: Any) -> Any:  # noqa: ANN401  a bool, or NotImplemented
    return False if _are_plain([value], bool, int, float) else NotImplemented


def _are_plain(values: Iterable[object], *kinds: type) -> bool:
    return all(type(value) in kinds for value in values)


_ANSWERS: dict[str, Callable[..., Any]] = {
    "expect_true": _is_so,
    "guard_or_false": _is_so,
    "guard_or_true": _is_so,
    "guard_size_oblivious": _is_so,
    "statically_known_true": _is_so,
    "sym_and": _is_so,
    "sym_or": _is_either,
    "sym_eq": _is_equal,
    "is_nested_int": _is_ragged,
    "has_guarding_hint": _is_known,
    "guarding_hint_or_throw": _known,
    "has_hint": _is_known,  # torch 2.11's names of the two
    "size_hint": _known,
}
