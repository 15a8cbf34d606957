"""What becomes of a row: sequences of tokens and remarks, or the reason why not."""

from collections.abc import Mapping
from typing import Literal

from msgspec import Struct

from runtime.trainer.documents import Document
from state.config import Learn
from state.rows.row import Row, Text

NoteId = Literal[
    "border_inside_token",
    "content_trimmed",
    "end_added",
    "ended_by_next_turn",
    "not_asked",
    "prompt_ends_with_blank",
    "special_token_in_text",
]
RefusalId = Literal[
    "border_inside_token",
    "different_prompt",
    "nothing_to_learn",
    "no_end_token",
    "special_token_in_answer",
    "template_begins_otherwise",
    "template_drops",
    "template_raises",
    "text_behind_answers",
    "two_begin_tokens",
]


class Note(Struct, frozen=True):
    """A remark for the report on a data set. The row is learned."""

    id: NoteId
    at: str
    """Where in the row, such as `messages[1].content`."""
    value: str = ""


class Masked(Struct, frozen=True):
    """A row's documents, which belong into one step."""

    sequences: list[Document]
    notes: list[Note]
    switches: Mapping[str, bool]
    """How the template was told whether the model thinks; an adapter is to be served with the same."""
    stop_tokens: frozenset[int]
    """The tokens that end its answers and at which the base is not known to stop: serving has to."""


class Refused(Struct, frozen=True):
    """Why a row cannot be learned exactly. The sentence does not name the row: the caller knows its number."""

    id: RefusalId
    message: str

    def is_single_token(self, row: Row, learn: Learn | None) -> bool:
        """Whether that row is but a text of a single token. There is nothing to predict in it, and nothing to mend."""
        return isinstance(row, Text) and self.id == "nothing_to_learn" and learn is None


class Refusal(Exception):  # it becomes a Refused, and never leaves the package
    def __init__(self, refusal_id: RefusalId, message: str) -> None:
        super().__init__(message)
        self.refused = Refused(refusal_id, message)
