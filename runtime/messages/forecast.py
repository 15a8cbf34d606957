"""What the server asks of `python -m runtime.trainer.forecast`, and what that answers: a line of JSON each."""

from msgspec import Struct

from state.jobs import Job, Remedy
from state.row_source import RowSource


class Question(Struct, frozen=True):
    """A job that does not exist."""

    root: str
    job: Job
    train: RowSource
    held_out: RowSource | None
    scratch: str
    """A folder for the rows' tokens, which the server clears away, however the process ends."""


class Forecast(Struct, frozen=True, kw_only=True):
    """What training it would be. Tokens are of the cut examples; memory is in 2^20 bytes."""

    num_examples: int
    """Rows."""
    num_truncated: int
    num_dropped: int
    """Rows of fewer than two tokens: nothing to predict."""
    num_eval_examples: int
    """Rows that the job is evaluated on."""
    tokens_per_epoch: int
    learned_tokens_per_epoch: int
    """Of these, what the model learns to write."""
    max_seq_length: int
    steps_per_epoch: int
    total_steps: int
    warmup_steps: int
    trained_parameters: int
    device: str
    dtype: str
    available_memory_mb: float
    fits: bool = True
    advice: str | None = None
    """Why it does not fit, and what would. What follows `remedy` is None then."""
    remedy: Remedy | None = None
    """What would, for a program: settings by their names in a request."""
    gradient_checkpointing: str | None = None
    row_tokens: int | None = None
    peak_memory_mb: float | None = None
    tokens_per_second: float | None = None
    estimated_minutes: float | None = None
    """Of the whole job, its start included."""
