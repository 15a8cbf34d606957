"""What is written in an evaluation's folder (`state/evaluations.py`), file by file."""

from datetime import datetime
from typing import Annotated, Literal

from msgspec import Meta, Struct

from state.graders import Grader

State = Literal["pending", "running", "completed", "failed", "cancelled"]
UNFINISHED: tuple[State, ...] = ("pending", "running")


class Turn(Struct, frozen=True):
    role: str
    content: str


class Row(Struct, frozen=True, kw_only=True, omit_defaults=True):
    """A line of rows.jsonl. `prompt` is a text to continue, or a conversation to answer."""

    row: int
    """From 1."""
    line: int
    """Where it stood among the rows that it was chosen from."""
    prompt: str | list[Turn]
    reference: str
    others: dict[str, object] = {}
    """Further columns of the row, which graders may ask for."""


class Asked(Struct, frozen=True, kw_only=True):
    """A model that is evaluated: an adapter, or a base model alone."""

    name: str
    model_name: str
    """The base."""
    fingerprint: tuple[tuple[str, int, int], ...] = ()
    """Of an adapter's files: with others it would be another adapter that answers the rest."""

    @property
    def is_adapter(self) -> bool:
        return bool(self.fingerprint)


class Evaluation(Struct, frozen=True, kw_only=True):
    """evaluation.json."""

    version: int = 1
    created_at: datetime
    models: Annotated[list[Asked], Meta(min_length=2)]
    """The adapter, then those that it is compared with."""
    rows: str
    """Where they come from, in words."""
    num_rows: Annotated[int, Meta(ge=1)]
    num_left_out: dict[str, int] = {}
    """Rows that could not be asked, by why."""
    graders: Annotated[list[Grader], Meta(min_length=1)]
    max_tokens: int

    @property
    def num_answers(self) -> int:
        """How many there will be."""
        return self.num_rows * len(self.models)


class Status(Struct, frozen=True, kw_only=True):
    """status.json."""

    version: int = 1
    status: State = "pending"
    started_at: datetime | None = None
    completed_at: datetime | None = None
    error_message: str | None = None
    message: str | None = None
    """What is unusual about how it goes on."""


class Answer(Struct, frozen=True, kw_only=True, omit_defaults=True):
    """A line of answers.jsonl."""

    row: int
    model: str
    text: str = ""
    finish_reason: Literal["stop", "length"] | None = None
    """"length" where `max_tokens` cut it off."""
    tokens: int = 0
    scores: dict[str, float] = {}
    """By the graders' names."""
    ungraded: dict[str, str] = {}
    """Why a score is 0 that the grader could not give."""
    error: str | None = None
    """Why there is no answer: the prompt does not fit, for example."""


class TableRow(Struct, frozen=True, kw_only=True):
    """One model's means over its answers."""

    model: str
    num_answers: int
    scores: dict[str, float]
    mean_tokens: float
    num_cut_off: int
    """Answers that `max_tokens` ended."""


class Verdict(Struct, frozen=True, kw_only=True):
    """Whether the adapter is better than another model, by one grader, over the rows that both have answered."""

    against: str
    grader: str
    verdict: Literal["better", "worse", "cannot tell"]
    sentence: str
    difference: float
    """The adapter's mean score less the other's."""
    low: float | None
    """The 95 % confidence interval of the difference; None where there are too few rows for one."""
    high: float | None
    num_rows: int


class Results(Struct, frozen=True, kw_only=True):
    """results.json."""

    version: int = 1
    verdicts: Annotated[list[Verdict], Meta(min_length=1)]
    """By the first grader first; of each, against every other model."""
    table: list[TableRow]
    warnings: list[str]
