"""GET /api/training/metrics/{job_id}: the curve of a run, one point a log step."""

from litestar import get
from litestar.di import NamedDependency
from litestar.params import FromPath
from msgspec import Struct

from runtime.server.service import Service
from state import metrics


class MetricsReply(Struct):
    """Training points have `loss`, evaluation points `eval_loss`; a figure that was not a number is left out."""

    job_id: str
    metrics: list[metrics.Point]
    total: int


@get("/training/metrics/{job_id:str}", opt={"action": "get training metrics"}, sync_to_thread=True)
def training_metrics(job_id: FromPath[str], service: NamedDependency[Service]) -> MetricsReply:
    points = metrics.read(service.index.job(job_id).folder.metrics_file)
    return MetricsReply(job_id=job_id, metrics=points, total=len(points))
