"""A wrong value, as msgspec tells it, in the specification's words."""

import re
from collections.abc import Callable

from state.config import ALL_LINEAR

_KINDS = {
    "array": "a list",
    "object": "an object",
    "str": "a string",
    "int": "an integer",
    "float": "a number",
    "bool": "true or false",
    "null": "null",
}


def validation_sentence(message: str) -> str:
    """A wrong value as msgspec tells it, in the specification's words.

    >>> validation_sentence("Object missing required field `model_name`")
    'model_name is required'
    >>> validation_sentence("Expected `array`, got `str` - at `$.train_texts`")
    'train_texts must be a list'
    """
    message, _, place = message.partition(" - at ")
    field = place.strip("`").removeprefix("$").removeprefix(".")
    for pattern, words in _SENTENCES:
        if match := re.fullmatch(pattern, message):
            return words(field, *match.groups())
    return f"{field or _BODY}: {message}"


def _missing(field: str, name: str) -> str:
    return f"{_joined(field, name)} is required"


def _unknown(field: str, name: str) -> str:
    return f"unknown field {_joined(field, name)}"


def _wrong_kind(field: str, expected: str) -> str:
    kinds = [_KINDS.get(kind.strip(), kind.strip()) for kind in expected.split("|")]
    return f"{field or _BODY} must be {' or '.join(kind for kind in kinds if kind != 'null')}"


def _out_of_bounds(field: str, sign: str, bound: str) -> str:
    words = {">=": "at least", ">": "greater than", "<=": "at most", "<": "less than"}
    return f"{field or _BODY} must be {words[sign]} {bound}"


def _wrong_length(field: str, kind: str, sign: str, bound: str) -> str:
    unit = "characters" if kind == "str" else "entries"
    return f"{field or _BODY} must have at {'least' if sign == '>=' else 'most'} {bound} {unit}"


def _not_offered(field: str, value: str) -> str:
    offered = _CHOICES.get(field)
    return f"{field or _BODY} must not be {value}" + (f": use {offered}" if offered else "")


_BODY = "The request body"
_CHOICES = {
    "lora_config.bias": '"none", "all" or "lora_only"',
    "lora_config.task_type": '"CAUSAL_LM"',
    "format": '"merged", "gguf" or "gguf-lora"',
    "training_config.precision": '"bfloat16" or "float32"',
    "lora_config.target_modules": f'"{ALL_LINEAR}" or a list of names',
}
_SENTENCES: tuple[tuple[str, Callable[..., str]], ...] = (
    (r"Object missing required field `(.+)`", _missing),
    (r"Object contains unknown field `(.+)`", _unknown),
    (r"Expected `([^`]+)`, got `[^`]+`", _wrong_kind),
    (r"Expected `\w+` (>=|>|<=|<) (.+)", _out_of_bounds),
    (r"Expected `(\w+)` of length (>=|<=) (\d+)", _wrong_length),
    (r"Invalid enum value (.+)", _not_offered),
)


def parameter_problem(problem: dict[str, str]) -> str:
    return validation_sentence(f"{problem.get('message', '')} - at `$.{problem.get('key', '')}`")


def _joined(parent: str, name: str) -> str:
    return f"{parent}.{name}" if parent else name
