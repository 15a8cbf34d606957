"""What is wrong with a row, in a form for programs (`id`) and in words for people (`message`)."""

from collections.abc import Callable
from typing import Literal, Self, TypeVar

from msgspec import Struct

Value = TypeVar("Value")

ProblemId = Literal[
    # OpenAI's own words for the same things, from its cookbook's check of chat data
    "data_type",
    "missing_messages_list",
    "message_missing_key",
    "message_unrecognized_key",
    "unrecognized_role",
    "missing_content",
    "example_missing_assistant_message",
    # formats
    "unknown_format",
    "mixed_formats",
    "missing_column",
    "duplicate_key",
    "wrong_type",
    "too_deep",
    # values
    "empty_text",
    "misplaced_key",
    "wrong_weight",
    "nothing_to_learn",
    "wrong_tool_call",
    "wrong_tools",
    "missing_prompt",
    "different_prompt",
    "identical_answers",
    # files
    "malformed_json",
    "malformed_csv",
    "ragged_row",
    "invalid_utf8",
    "row_too_large",
    "broken_file",
]


class Problem(Struct, frozen=True, kw_only=True, omit_defaults=True):
    """One row that cannot be used."""

    id: ProblemId
    file: str
    line: int
    """The line of the user's file on which the row begins, from 1; of a Parquet file, the row's number."""
    row: int
    """The row's number in its file, from 1: it tells rows apart that stand on one line."""
    message: str
    """What is wrong with the value, and how to mend it."""
    at: str = ""
    """Where in the row, such as `messages[2].role`; empty for the row itself."""

    def __str__(self) -> str:
        place = f"{self.file} line {self.line}"
        if self.row != self.line:
            place += f" (row {self.row})"
        return f"{place}, {self.at}: {self.message}" if self.at else f"{place}: {self.message}"


class Wrong(Exception):
    """A row that cannot be used, said by code that knows neither its file nor its line. It becomes a Problem."""

    def __init__(self, problem_id: ProblemId, message: str, at: str = "") -> None:
        super().__init__(message)
        self.id = problem_id
        self.message = message
        self.at = at

    def under(self, place: str) -> Self:
        """The same, of a value that lies at `place`."""
        separator = "." if self.at and not self.at.startswith("[") else ""
        self.at = f"{place}{separator}{self.at}"
        return self

    def problem(self, file: str, line: int, row: int) -> Problem:
        return Problem(id=self.id, file=file, line=line, row=row, message=self.message, at=self.at)


def read_at(place: str, read: Callable[[object], Value], value: object) -> Value:
    """What `read` makes of the value at this place. What it finds wrong is said with the place."""
    try:
        return read(value)
    except Wrong as wrong:
        raise wrong.under(place) from None


def shown(value: object) -> str:
    """A value as a sentence shows it: JSON's words, and never more than a line of it."""
    if isinstance(value, str):
        return repr(value if len(value) <= 40 else value[:37] + "…")
    if isinstance(value, list | tuple):
        return "a list"
    if isinstance(value, dict):
        return "an object"
    if value is None or isinstance(value, bool):
        return {None: "null", True: "true", False: "false"}[value]
    return str(value)[:40] if isinstance(value, int | float) else f"a {type(value).__name__}"


def either(words: list[str]) -> str:
    """'a', 'b' or 'c'."""
    quoted = [repr(word) for word in words]
    return " or ".join([", ".join(quoted[:-1]), quoted[-1]]) if len(quoted) > 1 else quoted[0]
