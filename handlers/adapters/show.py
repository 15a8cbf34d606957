"""GET /api/adapters/{adapter_name}: one adapter, with how it was trained."""

from datetime import datetime

from litestar import get
from litestar.di import NamedDependency
from litestar.params import FromPath
from msgspec import Struct

from runtime.server.service import Service
from state.adapters import Adapter, Origin


class AdapterMetrics(Struct):
    """What the training ended with; null in an adapter that was trained elsewhere."""

    final_loss: float | None
    eval_loss: float | None
    best_step: int | None
    """The step after which the weights were as they are, with `keep` "best"."""
    training_steps: int | None
    training_time_minutes: float | None


class AdapterReply(Struct):
    name: str
    path: str
    model_name: str
    created_at: datetime
    size_mb: float
    description: str
    tags: list[str]
    is_loaded: bool
    training_config: dict[str, object]
    metrics: AdapterMetrics
    job_id: str | None
    """The job that made it, which may be deleted by now; null of one from elsewhere."""
    init_adapter: Origin | None
    """The adapter that its training went on from."""
    problem: str | None
    """Why it could not be loaded; null when nothing is wrong with its files."""

    @classmethod
    def of(cls, adapter: Adapter, service: Service) -> "AdapterReply":
        return cls(
            name=adapter.name,
            path=service.root.shown(adapter.path),
            model_name=adapter.model_name,
            created_at=adapter.created_at,
            size_mb=adapter.size_mb,
            description=adapter.description,
            tags=adapter.tags,
            is_loaded=adapter.name == service.serving.current_name,
            training_config=adapter.training_config,
            metrics=AdapterMetrics(
                final_loss=adapter.metrics.final_loss,
                eval_loss=adapter.metrics.eval_loss,
                best_step=adapter.metrics.best_step,
                training_steps=adapter.metrics.training_steps,
                training_time_minutes=adapter.metrics.training_time_minutes,
            ),
            job_id=adapter.job_id,
            init_adapter=adapter.init_adapter,
            problem=adapter.problem,
        )


@get("/adapters/{adapter_name:str}", opt={"action": "get adapter info"}, sync_to_thread=True)
def show_adapter(adapter_name: FromPath[str], service: NamedDependency[Service]) -> AdapterReply:
    return AdapterReply.of(service.index.answering_adapter(adapter_name), service)
