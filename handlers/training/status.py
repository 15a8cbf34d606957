"""GET /api/training/status/{job_id}: where a job stands, by its files as they are now."""

import os
from datetime import datetime

from litestar import get
from litestar.di import NamedDependency
from litestar.params import FromPath
from msgspec import Struct

from runtime.server.entries import JobEntry
from runtime.server.service import Service
from state import jobs
from state.jobs import JobState


class Losses(Struct):
    """Mean cross-entropy in nats over the target tokens since the last log line, and over the evaluation rows; of
    preferences DPO's mean loss over the pairs.
    """

    train_loss: float | None
    eval_loss: float | None


class StatusReply(Struct):
    """Steps are optimizer steps; `progress` is in percent, and 100 only when completed."""

    job_id: str
    model_name: str
    status: JobState
    progress: float
    created_at: datetime
    started_at: datetime | None
    completed_at: datetime | None
    current_step: int
    total_steps: int
    current_loss: float | None
    learning_rate: float | None
    metrics: Losses
    adapter_path: str | None
    stopped_early: str | None
    """Why a completed job has taken fewer steps than `total_steps`; null where it has taken all."""
    error_message: str | None
    message: str | None
    """What a running job does while it takes no step, such as tokenizing, and how far that is; else why its
    `report_to` is not served."""


@get("/training/status/{job_id:str}", opt={"action": "get training status"})
async def status(job_id: FromPath[str], service: NamedDependency[Service]) -> StatusReply:
    entry = await service.index.job_now(job_id)
    now = entry.status
    return StatusReply(
        job_id=entry.job_id,
        model_name=entry.model_name,
        status=now.status,
        progress=now.progress,
        created_at=entry.created_at,
        started_at=now.started_at,
        completed_at=now.completed_at,
        current_step=now.current_step,
        total_steps=now.total_steps,
        current_loss=now.current_loss,
        learning_rate=now.learning_rate,
        metrics=Losses(now.metrics.train_loss, now.metrics.eval_loss),
        adapter_path=adapter_path(service, entry),
        stopped_early=now.stopped_early,
        error_message=entry.error_message or service.queue.obstacle(job_id),
        message=now.message,
    )


def adapter_path(service: Service, entry: JobEntry) -> str | None:
    """Where the adapter is, or will be; null for a job that ended without one."""
    path = f"{entry.path}/adapter"
    if entry.status.status in jobs.FINISHED and not os.path.exists(path):  # noqa: PTH110  half the cost of a Path's
        return None
    return service.root.shown(path)
