"""One row of a list of jobs, the same in pages and in events."""

from collections.abc import Sequence
from datetime import datetime

from msgspec import Struct, structs

from runtime.server.entries import JobEntry
from runtime.server.jobs.places import Place
from runtime.server.service import Service
from state import clock
from state.jobs import JobState

LONGEST_ERROR = 300


class ListedJob(Struct):
    job_id: str
    model_name: str
    status: JobState
    progress: float
    created_at: datetime
    started_at: datetime | None
    completed_at: datetime | None


class DetailedJob(ListedJob):
    """As pages and events have it; where all jobs are listed at once, what comes with it is left out."""

    adapter_name: str | None = None
    """The name that its adapter has, or will have."""
    step: int = 0
    total_steps: int = 0
    epoch: float | None = None
    loss: float | None = None
    """Since the last log line."""
    eval_loss: float | None = None
    tokens_per_second: float | None = None
    memory_mb: float | None = None
    eta_s: float | None = None
    """Of a running job, the seconds that are left, by its pace of the last half minute."""
    queue_position: int | None = None
    """Of a waiting job, 1 for the one that comes next."""
    queue_reason: str | None = None
    message: str | None = None
    error_message: str | None = None
    """Its first line."""
    spark: list[float] = []
    """A few of its losses, from the first to the last."""


def listed(entry: JobEntry) -> ListedJob:
    """As one of all."""
    return ListedJob(
        job_id=entry.job_id,
        model_name=entry.model_name,
        status=entry.status.status,
        progress=entry.status.progress,
        created_at=entry.created_at,
        started_at=entry.status.started_at,
        completed_at=entry.status.completed_at,
    )


def detailed(service: Service, entries: Sequence[JobEntry]) -> list[DetailedJob]:
    """As those of a page. It reads a little of each curve that has grown since it was last asked for: use a thread."""
    is_any_waiting = any(entry.status.status == "pending" for entry in entries)
    places = service.queue.places() if is_any_waiting else {}
    return [_detailed(service, entry, places.get(entry.job_id)) for entry in entries]


def _detailed(service: Service, entry: JobEntry, place: Place | None) -> DetailedJob:
    now = entry.status
    return DetailedJob(
        **structs.asdict(listed(entry)),
        adapter_name=entry.adapter,
        step=now.current_step,
        total_steps=now.total_steps,
        epoch=now.epoch,
        loss=now.metrics.train_loss,
        eval_loss=now.metrics.eval_loss,
        tokens_per_second=now.tokens_per_second,
        memory_mb=now.memory_mb,
        eta_s=_left_s(entry),
        queue_position=place.position if place else None,
        queue_reason=place.reason if place else None,
        message=now.message,
        error_message=_first_line(entry.error_message or service.queue.obstacle(entry.job_id)),
        spark=service.sparks.of(entry),
    )


def _left_s(entry: JobEntry) -> float | None:
    ends_at = entry.status.ends_at
    if entry.status.status != "running" or ends_at is None:
        return None
    return max(0.0, round((clock.aware(ends_at) - clock.now()).total_seconds(), 1))


def _first_line(message: str | None) -> str | None:
    return None if message is None else message.partition("\n")[0][:LONGEST_ERROR]
