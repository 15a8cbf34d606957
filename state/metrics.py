"""metrics.jsonl: the curve of a run, one line a log step, evaluation lines among them."""

from pathlib import Path

from msgspec import Struct

from state import store


class Point(Struct, kw_only=True, omit_defaults=True):
    """One line. A training line has `loss`, an evaluation line `eval_loss`. None also stands for NaN."""

    step: int
    epoch: float
    loss: float | None = None
    """Since the last training line: the mean cross-entropy over the target tokens, in nats, or of preferences the mean
    of DPO's loss over the pairs."""
    eval_loss: float | None = None
    eval_token_accuracy: float | None = None
    """Of an evaluation's target tokens, the share that the model held most likely; not of preferences."""
    rewards_chosen: float | None = None
    """Of preferences, as TRL's `rewards/chosen` and so on, means over the pairs since the last training line: beta
    times how much more likely, in nats, the answer is than to the reference."""
    rewards_rejected: float | None = None
    rewards_accuracies: float | None = None
    """The share of pairs whose chosen answer has the greater reward."""
    rewards_margins: float | None = None
    """How much greater it is."""
    logps_chosen: float | None = None
    """The answer's log-probability, in nats."""
    logps_rejected: float | None = None
    eval_rewards_accuracies: float | None = None
    eval_rewards_margins: float | None = None
    learning_rate: float | None = None
    grad_norm: float | None = None
    tokens: int | None = None
    """Target tokens since the last training line."""
    tokens_per_second: float | None = None
    memory_mb: float | None = None
    """Peak of the process so far: resident memory on CPU, the allocator's peak on an accelerator."""
    elapsed_s: float | None = None
    """Time in the training loop, earlier attempts included."""

    @property
    def is_evaluation(self) -> bool:
        """Its `eval_loss` may be None, where it is not a number."""
        return self.tokens is None


def append(path: Path, point: Point) -> None:
    store.append_line(path, point)


def read(path: Path) -> list[Point]:
    """All points; none when the run has not logged yet."""
    try:
        return list(store.read_intact_lines(path, Point))
    except FileNotFoundError:
        return []


def rewind(path: Path, step: int) -> None:
    """Forget what was logged after `step`: a resumed run logs it anew."""
    points = read(path)
    kept = [point for point in points if point.step <= step]
    if path.exists():
        store.write_lines(path, kept)
