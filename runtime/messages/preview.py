"""What the server asks of `python -m runtime.trainer.data.preview`, and what that answers: a line of JSON each."""

from msgspec import Struct, field

from runtime.messages.rows import Line, Subject


class Question(Subject, frozen=True, kw_only=True):
    file: str | None
    """None: the data set's first."""
    first: int
    """The number of a row in that file, from 1."""
    count: int
    min_tokens: int | None
    """Only rows that are learned, of so many tokens and more; and below, of so many and fewer."""
    max_tokens: int | None


class Piece(Struct, frozen=True):
    """Tokens that are all learned, or all only read. A character that tokens of two pieces make is in the later one."""

    text: str
    learned: bool
    num_tokens: int


class Sequence(Struct, frozen=True, kw_only=True):
    """Tokens that the model reads in one go. Their pieces' texts, one after another, are the whole text."""

    num_tokens: int
    num_learned: int
    pieces: list[Piece]


class Remark(Struct, frozen=True, kw_only=True):
    id: str
    at: str
    value: str


class Shown(Line, frozen=True, kw_only=True):
    """A row as it is learned; or the reason why it is not, and no sequences."""

    sequences: list[Sequence] = field(default_factory=list)
    switches: dict[str, bool] = field(default_factory=dict)
    """What the chat template was told."""
    notes: list[Remark] = field(default_factory=list)
    problem: str | None = None
    problem_id: str | None = None


class Next(Struct, frozen=True):
    """Where the next page begins."""

    file: str
    first: int


class Preview(Struct, frozen=True, kw_only=True):
    dataset_name: str
    model_name: str
    rows: list[Shown]
    next: Next | None
