"""GET /v1/fine_tuning/jobs/{job_id}/checkpoints: models of a job's last epochs, in OpenAI's protocol."""

from typing import Annotated, Literal

from litestar import get
from litestar.di import NamedDependency
from litestar.params import FromPath, FromQuery, QueryParameter
from msgspec import Struct, field

from handlers.v1.fine_tuning.jobs.event_object import evaluation_figures, training_figures
from handlers.v1.fine_tuning.jobs.job_object import PREFIX, found
from handlers.v1.pages import page
from runtime.server.entries import JobEntry
from runtime.server.service import Service
from state import adapter_checkpoints, adapter_places, adapters, clock, metrics
from state.errors import NotFound
from state.root import DataRoot


class Checkpoint(Struct):
    """`fine_tuned_model_checkpoint` answers as a model. `metrics` are what was measured by then."""

    id: str
    created_at: int
    fine_tuned_model_checkpoint: str
    fine_tuning_job_id: str
    step_number: int
    metrics: dict[str, float]
    object: Literal["fine_tuning.job.checkpoint"] = field(default="fine_tuning.job.checkpoint")


class CheckpointList(Struct):
    """`has_more`: ask again with `after=<last_id>`."""

    data: list[Checkpoint]
    has_more: bool
    first_id: str | None
    last_id: str | None
    object: Literal["list"] = field(default="list")


@get("/fine_tuning/jobs/{job_id:str}/checkpoints", opt={"action": "list the job's checkpoints"}, sync_to_thread=True)
def list_checkpoints(
    job_id: FromPath[str],
    service: NamedDependency[Service],
    after: FromQuery[str | None] = None,
    limit: Annotated[int, QueryParameter(ge=1, le=1000)] = 10,
) -> CheckpointList:
    """None before the job has succeeded, or when its adapter has gone by its name."""
    entry = found(service, job_id)
    listed = page(_checkpoints(service.root, entry), after, limit)
    return CheckpointList(listed.items, listed.has_more, listed.first_id, listed.last_id)


def _checkpoints(root: DataRoot, entry: JobEntry) -> list[Checkpoint]:
    """The newest first, which is the finished adapter."""
    name, last = entry.status.adapter_name, entry.status.current_step
    if entry.status.status != "completed" or name is None or not _is_there(root, entry, name):
        return []
    completed_at = entry.status.completed_at or entry.created_at
    made = [_checkpoint(entry, last, name, completed_at.timestamp())]
    for step in sorted(entry.folder.epoch_steps(), reverse=True):
        if step < last:
            path = entry.folder.epoch(step)
            made.append(
                _checkpoint(entry, step, adapter_checkpoints.name(name, step), clock.changed(path.stat()).timestamp())
            )
    return made


def _is_there(root: DataRoot, entry: JobEntry, name: str) -> bool:
    try:
        return adapter_places.belongs_to(adapters.find(root, name), entry.job_id)
    except NotFound:
        return False


def _checkpoint(entry: JobEntry, step: int, name: str, at: float) -> Checkpoint:
    return Checkpoint(
        id=f"ftckpt_{entry.job_id}_{step}",
        created_at=int(at),
        fine_tuned_model_checkpoint=name,
        fine_tuning_job_id=f"{PREFIX}{entry.job_id}",
        step_number=step,
        metrics=_figures(entry, step),
    )


def _figures(entry: JobEntry, step: int) -> dict[str, float]:
    """The training loss that was logged last by then, and the evaluation of this step."""
    found: dict[str, float] = {}
    for point in metrics.read(entry.folder.metrics_file):
        if point.loss is not None and point.step <= step:
            found |= training_figures(point)
        if point.eval_loss is not None and point.step == step:
            found |= evaluation_figures(point)
    return found | {"step": step}
