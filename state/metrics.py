"""metrics.jsonl: the curve of a run, one line a log step, evaluation lines among them."""

from collections.abc import Iterator
from itertools import islice
from pathlib import Path

from msgspec import Struct

from state import growing, store
from state.growing import Position

PIECE = 2_000  # bytes, in which a whole line is
MOST_READ = 400_000  # bytes read on at once: 2,000 points, more or less


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


class Stretch(Struct, frozen=True):
    """Points that follow one another. `is_anew`: they are the first of the file, whatever was read of it before."""

    points: list[Point]
    end: Position
    is_anew: bool


def read_on(path: Path, position: Position | None) -> Stretch:
    """The points behind a position, some at a time; from the beginning where the file was written anew since.

    A line whose end is not there yet is left for later. Raises BrokenFile.
    """
    part = growing.read_on(path, position, MOST_READ) if position is not None else None
    is_anew = part is None
    if part is None:
        part = growing.read_at(path, 0, MOST_READ)
    taken = part.content.rfind(b"\n") + 1
    if not taken and len(part.content) == MOST_READ:
        taken = MOST_READ  # nothing of Lathe's: no line is so long
    return Stretch(list(store.intact_lines(part.content[:taken], Point)), part.position(taken), is_anew)


def read_all_on(path: Path, position: Position | None) -> Stretch:
    """All that `read_on` would tell, time after time. Raises BrokenFile."""
    stretch = read_on(path, position)
    points, end, is_anew = stretch.points, stretch.end, stretch.is_anew
    while (more := read_on(path, end)).end != end:
        if more.is_anew:
            points, is_anew = [], True
        points.extend(more.points)
        end = more.end
    return Stretch(points, end, is_anew)


def thinned(points: list[Point], most: int) -> list[Point]:
    """So many of them, with the first, the last, and those of the lowest and highest figures between: spikes stay.

    So do those whose loss is not a number.
    """
    if len(points) <= most:
        return points
    bins = max(1, (most - 2) // 5)
    chosen = {0, len(points) - 1}
    for number in range(bins):
        part = range(len(points) * number // bins, len(points) * (number + 1) // bins)
        chosen.update(_extremes(part, [point.loss for point in points[part.start : part.stop]]))
        chosen.update(_extremes(part, [point.eval_loss for point in points[part.start : part.stop]]))
        chosen.update([at for at in part if points[at].loss is None and points[at].eval_loss is None][:1])
    return [points[at] for at in sorted(chosen)]


def _extremes(places: range, figures: list[float | None]) -> list[int]:
    found = [(figure, at) for at, figure in zip(places, figures, strict=True) if figure is not None]
    return [min(found)[1], max(found)[1]] if found else []


class _Loss(Struct):
    loss: float | None = None


def sketch(path: Path, points: int = 32) -> list[float]:
    """A few of the training losses, evenly from the first to the last. Of a long file, only that much is read.

    Raises BrokenFile.
    """
    try:
        size = path.stat().st_size
    except OSError:
        return []
    if size <= points * PIECE:
        losses = list(_losses(growing.read_at(path, 0, points * PIECE).content))
    else:
        offsets = [(size - PIECE) * number // (points - 1) for number in range(points)]
        pieces = (growing.read_at(path, offset, PIECE) for offset in offsets)
        losses = [loss for piece in pieces for loss in islice(_losses(piece.content), 1)]
    last = len(losses) - 1
    return losses if last < points else [losses[last * number // (points - 1)] for number in range(points)]


def _losses(content: bytes) -> Iterator[float]:
    return (round(line.loss, 4) for line in store.intact_lines(content, _Loss) if line.loss is not None)


def rewind(path: Path, step: int) -> None:
    """Forget what was logged after `step`: a resumed run logs it anew."""
    points = read(path)
    kept = [point for point in points if point.step <= step]
    if path.exists():
        store.write_lines(path, kept)
