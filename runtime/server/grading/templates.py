"""`{{item.answer}}` and `{{sample.output_json.total[0]}}`: what stands in a grader's text for a value of its row.

A value that is no text is written as JSON.
"""

import re
from typing import Literal

import msgspec

from state.errors import ServiceError

SAMPLE = ("output_text", "output_json")
"""What is known of an answer."""

_TEMPLATE = re.compile(r"\{\{(.*?)\}\}", flags=re.DOTALL)
_PATH = re.compile(r"(item|sample)((?:\.[^.\[\]{}\s]+|\[\d+\])+)")
_STEP = re.compile(r"\.([^.\[\]]+)|\[(\d+)\]")

Kind = Literal["invalid_variable_error", "sample_parse_error", "other_error"]
"""Why there is no score, in the words of OpenAI's API."""


class NoScore(Exception):
    """An answer that cannot be graded, or a row that lacks what the grader asks for."""

    def __init__(self, kind: Kind, sentence: str) -> None:
        super().__init__(sentence)
        self.kind = kind


def check(field: str, text: str) -> None:
    """Raise ServiceError for a template that can never have a value."""
    for written in _TEMPLATE.findall(text):
        found = _PATH.fullmatch(written.strip())
        if found is None:
            raise ServiceError(
                f"{field}: {{{{{written}}}}} is no template: write {{{{item.<key>}}}} or {{{{sample.output_text}}}}; "
                "values inside are .<key> and [<number>]",
                param="grader",
            )
        first = _STEP.match(found[2])
        if found[1] == "sample" and (first is None or first[1] not in SAMPLE):
            raise ServiceError(
                f"{field}: {{{{{written}}}}} is not known of an answer here: use sample.output_text or "
                "sample.output_json",
                param="grader",
            )


def of_item(text: str) -> list[str]:
    """The templates in a checked text that its row has values for."""
    return [f"{{{{{written}}}}}" for written in _TEMPLATE.findall(text) if written.strip().startswith("item")]


def filled(text: str, item: object, answer: str) -> str:
    """A checked text with its values. Raises NoScore."""
    return _TEMPLATE.sub(lambda found: _shown(_value(found[1].strip(), item, answer)), text)


def _value(path: str, item: object, answer: str) -> object:
    found = _PATH.fullmatch(path)
    assert found is not None  # noqa: S101  checked
    steps = [key or int(index) for key, index in _STEP.findall(found[2])]
    if found[1] == "item":
        return _inside(path, item, steps)
    if steps[0] == "output_text":
        return _inside(path, answer, steps[1:])
    try:
        parsed = msgspec.json.decode(answer)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise NoScore("sample_parse_error", f"{path}: the answer is not JSON") from error
    return _inside(path, parsed, steps[1:])


def _inside(path: str, value: object, steps: list[str | int]) -> object:
    for step in steps:
        match value, step:
            case dict(), str() if step in value:
                value = value[step]
            case list(), int() if step < len(value):
                value = value[step]
            case _:
                raise NoScore("invalid_variable_error", f"there is no {path}")
    return value


def _shown(value: object) -> str:
    return value if isinstance(value, str) else msgspec.json.encode(value).decode()
