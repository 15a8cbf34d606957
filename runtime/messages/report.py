"""What the server asks of `python -m runtime.trainer.data.report`, and what that answers: a line of JSON each."""

from typing import Literal

from msgspec import Struct

from runtime.messages.rows import Line, Subject

Severity = Literal["error", "warning", "note"]
Kind = Literal["invalid", "refused", "remark"]


class Question(Subject, frozen=True, kw_only=True):
    max_seq_length: int | None
    """None: a job's default."""


class Histogram(Struct, frozen=True):
    """`counts[i]` is of the lengths from `borders[i]` up to, not including, `borders[i + 1]`."""

    borders: list[int]
    counts: list[int]


class Lengths(Struct, frozen=True, kw_only=True):
    """How long things are, in tokens. Each percentile is one of the lengths: so many percent are not longer."""

    mean: float
    min: int
    p50: int
    p90: int
    p99: int
    max: int
    histogram: Histogram


class Tokens(Struct, frozen=True, kw_only=True):
    """Of the rows that can be learned, before any is cut. None where there is none."""

    total: int
    learned: int
    """Of these, what the model learns to write."""
    num_sequences: int
    """A row has several where the chat template changes what was said before."""
    per_row: Lengths | None
    learned_per_row: Lengths | None
    per_sequence: Lengths | None
    learned_per_sequence: Lengths | None


class Place(Line, frozen=True, kw_only=True, omit_defaults=True):
    """One row that a finding is about."""

    at: str = ""
    """Where in the row, such as `messages[1].content`."""
    value: str = ""
    message: str = ""
    """What is to be said of this row alone."""
    same_as: Line | None = None
    """The row that says the same."""


class Finding(Struct, frozen=True, kw_only=True):
    """What is to be known of some rows. No other one has the same `kind` and `id`."""

    id: str
    kind: Kind
    """Of rows that cannot be used, whatever the model; that this model cannot learn exactly; or that are learned."""
    severity: Severity
    """An error fails a job whose settings do not say what is to become of such rows."""
    count: int
    """Rows."""
    share: float
    """Of all rows; of a leak, of all rows that are held out."""
    first: list[Place]
    """At most 20."""
    message: str
    fix: str | None


class TooLong(Struct, frozen=True, kw_only=True):
    """Rows with a sequence of more than `max_seq_length` tokens, and what cutting them would take away."""

    max_seq_length: int
    context_length: int | None
    count: int = 0
    share: float = 0.0
    lose_an_answers_end: int = 0
    lose_everything: int = 0
    """No token that is learned would be left."""
    longest: Line | None = None
    longest_tokens: int = 0
    """Of the longest sequence of all rows, too long or not."""


class HeldOut(Struct, frozen=True, kw_only=True):
    """A file of the folder that is kept from training. `problem`: why it cannot be read."""

    file: str
    num_rows: int
    num_invalid: int
    problem: str | None


class Asking(Struct, frozen=True, kw_only=True):
    """How an adapter that is trained on these rows will be asked."""

    template: Literal["model", "default"] | None
    """Whose chat template makes the prompts; None where no row is a conversation."""
    switches: dict[str, bool]
    """What the template is told, such as `enable_thinking`."""
    date: str | None
    """What a template is told that writes a date: a job's is frozen on the day on which it is created."""
    end_tokens: list[str]
    """At which the model stops by itself."""
    stop_tokens: list[str]
    """At which the adapter has to stop, beside them."""


class Report(Struct, frozen=True, kw_only=True):
    """What a data set is for a model."""

    dataset_name: str
    model_name: str
    formats: list[str]
    row_kind: str | None
    num_rows: int
    num_invalid: int
    """Rows that cannot be used, whatever the model."""
    num_refused: int
    """Rows that this model cannot learn exactly."""
    num_learned: int
    tokens: Tokens
    too_long: TooLong
    asked: Asking
    held_out: list[HeldOut]
    findings: list[Finding]
