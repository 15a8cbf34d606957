"""GET /api/adapters: all adapters, the newest first."""

from datetime import datetime

from litestar import get
from litestar.di import NamedDependency
from msgspec import Struct

from runtime.server.service import Service
from state.adapters import Adapter


class ListedMetrics(Struct):
    final_loss: float | None
    training_steps: int | None


class ListedAdapter(Struct):
    """`size_mb` is in 10^6 bytes, all files of the adapter's folder; `problem` says why it could not be loaded."""

    name: str
    path: str
    model_name: str
    created_at: datetime
    size_mb: float
    description: str
    tags: list[str]
    is_loaded: bool
    metrics: ListedMetrics
    job_id: str | None
    """The job that made it, which may be deleted by now; null of one from elsewhere."""
    problem: str | None


class AdaptersReply(Struct):
    """`complete` is false while a server that has just started still reads the folders: adapters may be missing."""

    adapters: list[ListedAdapter]
    total: int
    current_adapter: str | None
    complete: bool


@get("/adapters", opt={"action": "list adapters"}, sync_to_thread=True)
def list_adapters(service: NamedDependency[Service]) -> AdaptersReply:
    complete = service.index.adapters_are_read
    rows = [listed(service, adapter) for adapter in service.index.adapters()]
    return AdaptersReply(rows, total=len(rows), current_adapter=service.serving.current_name, complete=complete)


def listed(service: Service, adapter: Adapter) -> ListedAdapter:
    return ListedAdapter(
        name=adapter.name,
        path=service.root.shown(adapter.path),
        model_name=adapter.model_name,
        created_at=adapter.created_at,
        size_mb=adapter.size_mb,
        description=adapter.description,
        tags=adapter.tags,
        is_loaded=adapter.name == service.serving.current_name,
        metrics=ListedMetrics(adapter.metrics.final_loss, adapter.metrics.training_steps),
        job_id=adapter.job_id,
        problem=adapter.problem,
    )
