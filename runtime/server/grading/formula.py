"""The formula of a multi grader: numbers, names, + - * / ^ and a few functions, computed in floats. Nothing is run."""

import ast
import math
from collections.abc import Callable, Collection, Mapping
from functools import lru_cache

from runtime.server.grading.templates import NoScore
from state.errors import ServiceError

LONGEST = 500  # characters: deep enough for any formula, and not for the stack

FUNCTIONS: dict[str, Callable[..., float]] = {
    "min": lambda *values: min(values),
    "max": lambda *values: max(values),
    "abs": abs,
    "floor": math.floor,
    "ceil": math.ceil,
    "exp": math.exp,
    "sqrt": math.sqrt,
    "log": math.log,
}
_OF_MANY = ("min", "max")
_OPERATORS: dict[type[ast.operator], Callable[[float, float], float]] = {
    ast.Add: lambda left, right: left + right,
    ast.Sub: lambda left, right: left - right,
    ast.Mult: lambda left, right: left * right,
    ast.Div: lambda left, right: left / right,
    ast.Pow: math.pow,
}


def check(formula: str, names: Collection[str]) -> None:
    """Raise ServiceError for what is no formula of these names."""
    for name in names:
        if not (name.isidentifier() and name.isascii()) or name in FUNCTIONS:
            raise _refused(f"{name!r} cannot be a name in the formula: use letters, digits and _, and no function's")
    _check(_parsed(formula).body, names)


def value(formula: str, scores: Mapping[str, float]) -> float:
    """What a checked formula makes of scores. Raises NoScore where that is no number, as behind a division by zero."""
    try:
        found = _value(_parsed(formula).body, scores)
    except (ArithmeticError, ValueError) as error:
        raise NoScore("other_error", f"calculate_output: {error}") from error
    if not math.isfinite(found):
        raise NoScore("other_error", "calculate_output is not a finite number")
    return found


def _value(node: ast.expr, scores: Mapping[str, float]) -> float:
    match node:
        case ast.Constant(value=int() | float() as number):
            return float(number)
        case ast.Name(id=name):
            return scores[name]
        case ast.UnaryOp(op=sign, operand=operand):
            inner = _value(operand, scores)
            return -inner if isinstance(sign, ast.USub) else inner
        case ast.BinOp(left=left, op=operator, right=right):
            return _OPERATORS[type(operator)](_value(left, scores), _value(right, scores))
        case ast.Call(func=ast.Name(id=name), args=args):
            return float(FUNCTIONS[name](*(_value(arg, scores) for arg in args)))
    raise AssertionError("a checked formula has nothing else")


def _check(node: ast.expr, names: Collection[str]) -> None:
    match node:
        case ast.Constant(value=int() | float() as number) if not isinstance(number, bool):
            return
        case ast.Name(id=name) if name not in FUNCTIONS:
            if name not in names:
                raise _refused(f"there is no grader {name!r}: there is {', '.join(names)}")
        case ast.UnaryOp(op=ast.USub() | ast.UAdd(), operand=operand):
            _check(operand, names)
        case ast.BinOp(left=left, op=operator, right=right) if type(operator) in _OPERATORS:
            _check(left, names)
            _check(right, names)
        case ast.Call(func=ast.Name(id=name), args=args, keywords=[]) if name in FUNCTIONS and args:
            if len(args) > 1 and name not in _OF_MANY:
                raise _refused(f"{name} takes one value")
            for arg in args:
                _check(arg, names)
        case _:
            raise _unknown()


@lru_cache(maxsize=32)
def _parsed(formula: str) -> ast.Expression:
    if len(formula) > LONGEST:
        raise _refused(f"may have up to {LONGEST} characters")
    try:
        return ast.parse(formula.strip().replace("^", "**"), mode="eval")  # as Python writes powers
    except (SyntaxError, ValueError, RecursionError, MemoryError) as error:
        raise _unknown() from error


def _unknown() -> ServiceError:
    return _refused(f"use numbers, the graders' names, + - * / ^ and {', '.join(FUNCTIONS)}")


def _refused(why: str) -> ServiceError:
    return ServiceError(f"grader.calculate_output: {why}", param="grader")
