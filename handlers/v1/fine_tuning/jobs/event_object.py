"""What happened to a job, worked out from its files, in OpenAI's protocol.

A line of metrics.jsonl has no time of its own: its event's is the job's start, and how long it had trained by then.
"""

from datetime import datetime, timedelta
from typing import Any, Literal

from msgspec import Struct, field

from handlers.v1.fine_tuning.jobs.job_object import PREFIX
from runtime.server.entries import JobEntry
from state import clock, metrics, result_files
from state.metrics import Point

Level = Literal["info", "warn", "error"]

REWARDS = ("rewards_chosen", "rewards_rejected", "rewards_accuracies", "rewards_margins")
EVALUATED_REWARDS = ("eval_rewards_accuracies", "eval_rewards_margins")


class Event(Struct, kw_only=True):
    """`created_at` is a Unix time. Events of the type "metrics" have figures in `data`."""

    id: str
    created_at: int
    level: Level = "info"
    message: str
    type: Literal["message", "metrics"] = "message"
    data: dict[str, float] | None = None
    object: Literal["fine_tuning.job.event"] = field(default="fine_tuning.job.event")


def events(entry: JobEntry) -> list[Event]:
    """The newest first. The id of an event stays the same for as long as the job is not trained anew."""
    told = _Told(entry.job_id, entry.created_at)
    told.add("created", f"Created fine-tuning job: {PREFIX}{entry.job_id}", entry.created_at)
    if entry.status.started_at is not None:
        told.add("started", "Fine-tuning job started", entry.status.started_at)
        _tell_figures(told, entry, entry.status.started_at)
    _tell_end(told, entry)
    return told.events[::-1]


class _Told:
    """Events in their order, whose times never run backwards."""

    def __init__(self, job_id: str, since: datetime) -> None:
        self.events: list[Event] = []
        self._job_id = job_id
        self._last = since

    def add(self, kind: str, message: str, at: datetime | None = None, **rest: Any) -> None:  # noqa: ANN401
        self._last = max(self._last, clock.aware(at) if at else self._last)
        event_id = f"ftevent-{self._job_id}-{kind}"
        self.events.append(Event(id=event_id, created_at=int(self._last.timestamp()), message=message, **rest))


def _tell_figures(told: _Told, entry: JobEntry, started: datetime) -> None:
    at, loss = started, Point(step=0, epoch=0.0)
    for point in metrics.read(entry.folder.metrics_file):
        if point.elapsed_s is not None:
            at = started + timedelta(seconds=point.elapsed_s)
        if point.is_evaluation:
            data = evaluation_figures(point)
            if loss.step == point.step:
                data = training_figures(loss) | data
            told.add(f"eval-{point.step}", _evaluated(point), at, type="metrics", data=data)
        else:
            loss = point
            told.add(f"train-{point.step}", _trained(point, entry), at, type="metrics", data=training_figures(point))


def _tell_end(told: _Told, entry: JobEntry) -> None:
    status = entry.status
    match status.status:
        case "completed":
            if status.stopped_early:
                told.add("stopped-early", status.stopped_early, status.completed_at)
            for step in sorted(entry.folder.epoch_steps()):  # not before: until then the oldest ones go
                told.add(f"checkpoint-{step}", f"Checkpoint of step {step} is kept", status.completed_at)
            told.add("model", f"New fine-tuned model created: {status.adapter_name}", status.completed_at)
            told.add("results", f"Completed results file: {result_files.id_of(entry.job_id)}", status.completed_at)
            told.add("succeeded", "The job has successfully completed", status.completed_at)
        case "failed":
            reason = entry.error_message or "The training failed"
            told.add("failed", f"The job failed: {reason}", status.completed_at, level="error")
        case "cancelled":
            told.add("cancelled", "The job was cancelled", status.completed_at, level="warn")
        case _:
            pass


def training_figures(point: Point) -> dict[str, float]:
    """By OpenAI's names; those of preferences by Lathe's."""
    return _known({"step": point.step, "train_loss": point.loss}) | _named(point, REWARDS)


def evaluation_figures(point: Point) -> dict[str, float]:
    """Lathe evaluates the whole file every time, so both kinds of figures are of all of it."""
    found = {
        "step": point.step,
        "valid_loss": point.eval_loss,
        "valid_mean_token_accuracy": point.eval_token_accuracy,
        "full_valid_loss": point.eval_loss,
        "full_valid_mean_token_accuracy": point.eval_token_accuracy,
    }
    return _known(found) | _named(point, EVALUATED_REWARDS)


def _trained(point: Point, entry: JobEntry) -> str:
    loss = "not a number" if point.loss is None else f"{point.loss:.4f}"
    return f"Step {point.step}/{entry.status.total_steps}: training loss={loss}"


def _evaluated(point: Point) -> str:
    loss = "not a number" if point.eval_loss is None else f"{point.eval_loss:.4f}"
    return f"Step {point.step}: full validation loss={loss}"


def _named(point: Point, names: tuple[str, ...]) -> dict[str, float]:
    return _known({name: getattr(point, name) for name in names})


def _known(figures: dict[str, float | None]) -> dict[str, float]:
    return {name: value for name, value in figures.items() if value is not None}
