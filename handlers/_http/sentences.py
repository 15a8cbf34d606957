"""A wrong value, as msgspec tells it, in the specification's words."""

import re
import types
from collections.abc import Callable, Mapping
from typing import Annotated, Literal, Union, get_args, get_origin, get_type_hints

import msgspec
from litestar.typing import FieldDefinition
from msgspec import Struct

_KINDS = {
    "array": "a list",
    "object": "an object",
    "str": "a string",
    "int": "an integer",
    "float": "a number",
    "bool": "true or false",
    "null": "null",
}


def validation_sentence(message: str, kind: object = None) -> str:
    """A wrong value as msgspec tells it, in the specification's words; `kind` is the type that it was decoded as.

    >>> validation_sentence("Object missing required field `model_name`")
    'model_name is required'
    >>> validation_sentence("Expected `array`, got `str` - at `$.train_texts`")
    'train_texts must be a list'
    >>> validation_sentence("Expected `int`, got `str` - at `key` in `$.logit_bias`")
    'each key of logit_bias must be an integer'
    """
    message, _, place = message.partition(" - at ")
    key, place = ("each key of ", place.removeprefix(_OF_A_KEY)) if place.startswith(_OF_A_KEY) else ("", place)
    field = key + place.strip("`").removeprefix("$").removeprefix(".")
    for pattern, words in _SENTENCES:
        if match := re.fullmatch(pattern, message):
            return words(field, *match.groups())
    if match := re.fullmatch(r"Invalid (?:enum )?value (.+)", message):  # without "enum": of what tells objects apart
        return _not_offered(field, match[1], kind)
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


def _not_offered(field: str, value: str, kind: object) -> str:
    offered = choices(kind, field)
    return f"{field or _BODY} must not be {value}" + (f": use {_either(offered)}" if offered else "")


def _either(words: list[str]) -> str:
    *first, last = words
    return f"{', '.join(first)} or {last}" if first else last


def choices(kind: object, field: str) -> list[str]:
    """What may stand in a field of a type, such as `lora_config.bias`, where that is one of a few values.

    >>> choices(LoraConfig, "bias")
    ['"none"', '"all"', '"lora_only"']
    """
    found = _options(kind)
    for step in re.findall(r"[^.\[\]]+", field):
        found = [inner for outer in found for inner in _inside(outer, step)]
    values = [value for one in found if get_origin(one) is Literal for value in get_args(one)]
    words = [msgspec.json.encode(value).decode() for value in values]
    return words + ["a list" for one in found if words and get_origin(one) is list]


def _inside(outer: object, step: str) -> list[object]:
    """The types that a step into an object or a list may lead to."""
    if isinstance(outer, type) and issubclass(outer, Struct):
        if step == outer.__struct_config__.tag_field:
            return [Literal[outer.__struct_config__.tag]]
        return _options(get_type_hints(outer, include_extras=True).get(step))
    if get_origin(outer) in {dict, list}:
        return _options(get_args(outer)[-1])
    return []


def _options(kind: object) -> list[object]:
    if get_origin(kind) is Annotated:
        return _options(get_args(kind)[0])
    if get_origin(kind) in {Union, types.UnionType}:
        return [option for one in get_args(kind) for option in _options(one)]
    return [kind]


_BODY = "The request body"
_OF_A_KEY = "`key` in "
_SENTENCES: tuple[tuple[str, Callable[..., str]], ...] = (
    (r"Object missing required field `(.+)`", _missing),
    (r"Object contains unknown field `(.+)`", _unknown),
    (r"Expected `([^`]+)`, got `[^`]+`", _wrong_kind),
    (r"Expected `\w+` (>=|>|<=|<) (.+)", _out_of_bounds),
    (r"Expected `(\w+)` of length (>=|<=) (\d+)", _wrong_length),
)


def parameter_problem(problem: dict[str, str], fields: Mapping[str, FieldDefinition]) -> str:
    """A wrong value in the URL, as litestar tells it of a handler's parameters."""
    key = problem.get("key", "")
    kind = types.GenericAlias(dict, (str, fields[key].annotation)) if key in fields else None
    return validation_sentence(f"{problem.get('message', '')} - at `$.{key}`", kind)


def _joined(parent: str, name: str) -> str:
    return f"{parent}.{name}" if parent else name
