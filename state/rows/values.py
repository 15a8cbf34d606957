"""Values inside a row: JSON in JSON, and what JSON cannot hold."""

import math
from collections.abc import Mapping

import msgspec

from state.rows.problems import Wrong, shown

MAX_DEPTH = 64
"""Of lists and objects in one another. JSON Schemas of tools go to ten; Python's stack ends at several hundred."""

_decoder = msgspec.json.Decoder()


def from_json(value: object, wanted: str) -> object:
    """A value that may have come as JSON text, as CSV and Parquet columns do."""
    if not isinstance(value, str):
        return value
    try:
        decoded: object = _decoder.decode(value)
    except (msgspec.DecodeError, UnicodeError, RecursionError) as error:
        if _is_python_literal(value):
            raise Wrong("wrong_type", f"is a Python literal: write {wanted} as JSON, with json.dumps") from error
        raise Wrong("wrong_type", f"must be {wanted}, but is the text {shown(value)}, which is not JSON") from error
    return decoded


def is_blank(value: object) -> bool:
    """Whether an optional value says nothing: empty CSV cells and Parquet's empty lists."""
    return value is None or value in ("", [], {}) or (isinstance(value, str) and not value.strip())


def text(value: object) -> str:
    if not isinstance(value, str):
        raise Wrong("wrong_type", f"must be a text, but is {shown(value)}: put it in quotes")
    return value


def json_object(value: object) -> dict[str, object]:
    """A copy of an object that holds only what JSON can hold. Raises Wrong."""
    if not isinstance(value, Mapping):
        raise Wrong("wrong_type", f"must be an object, but is {shown(value)}")
    return {key: _checked(inner, 1) for key, inner in value.items()}


def _checked(value: object, depth: int) -> object:
    if depth > MAX_DEPTH:
        raise Wrong("too_deep", f"is nested more than {MAX_DEPTH} levels deep: flatten it, or write it as text")
    match value:
        case None | bool() | int() | str():
            return value
        case float() if math.isfinite(value):
            return value
        case list():
            return [_checked(inner, depth + 1) for inner in value]
        case dict():
            return {str(key): _checked(inner, depth + 1) for key, inner in value.items()}
        case _:
            raise Wrong("wrong_type", f"holds {shown(value)}, which JSON does not have: write it as text")


def _is_python_literal(value: str) -> bool:
    return value.lstrip().startswith(("{'", "[{'", "['"))
