"""GET /api/adapters: all adapters, the newest first."""

from datetime import datetime

from litestar import get
from litestar.di import NamedDependency
from msgspec import Struct

from runtime.server.service import Service


class ListedMetrics(Struct):
    final_loss: float | None
    training_steps: int | None


class ListedAdapter(Struct):
    """`size_mb` is in 10^6 bytes, all files of the adapter's folder."""

    name: str
    path: str
    model_name: str
    created_at: datetime
    size_mb: float
    description: str
    tags: list[str]
    is_loaded: bool
    metrics: ListedMetrics


class AdaptersReply(Struct):
    adapters: list[ListedAdapter]
    total: int
    current_adapter: str | None


@get("/adapters", opt={"action": "list adapters"})
async def list_adapters(service: NamedDependency[Service]) -> AdaptersReply:
    current = service.serving.current_name
    listed = [
        ListedAdapter(
            name=adapter.name,
            path=service.root.shown(adapter.path),
            model_name=adapter.model_name,
            created_at=adapter.created_at,
            size_mb=adapter.size_mb,
            description=adapter.description,
            tags=adapter.tags,
            is_loaded=adapter.name == current,
            metrics=ListedMetrics(adapter.metrics.final_loss, adapter.metrics.training_steps),
        )
        for adapter in service.index.adapters()
    ]
    return AdaptersReply(adapters=listed, total=len(listed), current_adapter=current)
