"""JSON schemas as grammars, and which parts of a schema no grammar here can hold.

A part that is not held is refused by its place: an answer that breaks its schema would be found out by the client only.
"""

import re
from collections.abc import Iterator
from typing import Any

import msgspec
from llguidance import LLMatcher

from state.errors import ServiceError

OPTIONS: Any = {  # llguidance.JsonCompileOptions, which only its stubs have
    # One blank, or one line end and an indentation: with as many as it likes, a weak model writes nothing else.
    "whitespace_pattern": r"( |\n {0,24})",
    # Without \u: half a surrogate pair is no text, and a whole one is two characters to a grammar and one to a schema.
    "json_allowed_escapes": 'nrbtf\\"',
    "lenient": False,
    "coerce_one_of": False,
}
OF_SCHEMAS = ("properties", "patternProperties", "$defs", "definitions")
"""Keywords whose values hold a schema under each name."""
OF_VALUES = ("const", "enum", "default", "example", "examples")
NUMBERS = {"const", "enum", "minimum", "maximum", "exclusiveMinimum", "exclusiveMaximum", "multipleOf"}
MOST = 2**63 - 1  # where an integer is asked for, llguidance takes larger ones for this one
CONTROL = re.compile(r"[\x00-\x07\x0b\x0e-\x1f]")  # what JSON can only write by \u

Place = tuple[str, ...]


class Unheld(ServiceError):
    """`said` is why; `place` leads to the part of the schema that it is about, as far as that is known."""

    def __init__(self, said: str, place: Place | None = None) -> None:
        super().__init__(f"The schema cannot be held{'' if place is None else _shown(place)}: {said}")


def grammar(schema: str) -> str:
    """A schema, in JSON, as llguidance's grammar. Raises Unheld."""
    return LLMatcher.grammar_from_json_schema(held(schema), overrides=OPTIONS)


def held(schema: str) -> dict[str, Any]:
    """A schema that llguidance holds, without options of the caller's. Raises Unheld."""
    found = msgspec.json.decode(schema)
    if not isinstance(found, dict):
        raise Unheld("it must be an object")
    found.pop("x-guidance", None)
    for place, part in _parts(found):
        _check(place, part)
    problem = LLMatcher.validate_grammar(LLMatcher.grammar_from_json_schema(found, overrides=OPTIONS))
    if problem and not problem.startswith("WARNING"):
        raise Unheld(*_explained(problem, found))
    return found


def embedded(schema: str) -> str:
    """The same for a grammar of which the schema is a part."""
    return msgspec.json.encode({"x-guidance": OPTIONS, **held(schema)}).decode()


def _check(place: Place, part: dict[str, Any]) -> None:
    """What llguidance takes, and an answer could still break."""
    least, required = part.get("minProperties"), part.get("required")
    if isinstance(least, int) and least > max(1, len(required) if isinstance(required, list) else 0):
        raise Unheld("names that are not listed as required could be the same one again", (*place, "minProperties"))
    if isinstance(part.get("items"), list) or "additionalItems" in part:
        raise Unheld("use prefixItems, with items for what comes behind them", (*place, "items"))
    for name in ("const", "enum"):
        if name in part and CONTROL.search(_all_text(part[name])):
            raise Unheld("a text of it has a control character that cannot be written", (*place, name))
    for name in NUMBERS & part.keys():
        if any(abs(number) > MOST for number in _all_numbers(part[name])):
            raise Unheld("numbers beyond 64 bits are not held", (*place, name))


def _parts(schema: Any, place: Place = ()) -> Iterator[tuple[Place, dict[str, Any]]]:  # noqa: ANN401  any JSON
    """The schemas in a schema, itself included."""
    if isinstance(schema, list):
        for number, each in enumerate(schema):
            yield from _parts(each, (*place, str(number)))
    if not isinstance(schema, dict):
        return
    yield place, schema
    for keyword, value in schema.items():
        if keyword in OF_SCHEMAS and isinstance(value, dict):
            for name, each in value.items():
                yield from _parts(each, (*place, keyword, name))
        elif keyword not in OF_VALUES:
            yield from _parts(value, (*place, keyword))


def _explained(problem: str, schema: dict[str, Any]) -> tuple[str, Place | None]:
    """The first words of llguidance, and the first place that they can be about."""
    said = problem.removeprefix("ERROR: ").partition("\n<state>")[0].strip()
    if match := re.match(r"Unimplemented keys: (\[.*\])", said):
        keywords: list[str] = msgspec.json.decode(match[1])
        place = next((place for place, part in _parts(schema) if not part.keys().isdisjoint(keywords)), ())
        return f"{' and '.join(keywords)} cannot be held", place
    if match := re.match(r"Unknown format: (.*)", said):
        place = next((place for place, part in _parts(schema) if part.get("format") == match[1]), ())
        return f"there is no format {match[1]}", (*place, "format")
    if said.startswith("oneOf"):
        place = next((place for place, part in _parts(schema) if "oneOf" in part), ())
        return "an answer could be of more than one of them: use anyOf", (*place, "oneOf")
    return said, None


def _all_text(value: Any) -> str:  # noqa: ANN401  any JSON
    if isinstance(value, dict):
        return "".join(map(_all_text, [*value.keys(), *value.values()]))
    return "".join(map(_all_text, value)) if isinstance(value, list) else value if isinstance(value, str) else ""


def _all_numbers(value: Any) -> list[float]:  # noqa: ANN401  any JSON
    if isinstance(value, dict | list):
        return [
            number for each in (value.values() if isinstance(value, dict) else value) for number in _all_numbers(each)
        ]
    return [value] if isinstance(value, int | float) else []


def _shown(place: Place) -> str:
    return f" at {'.'.join(place)}" if place else ""
