"""GET /metrics: what Prometheus reads: jobs, the queue, steps, tokens, latencies, memory (docs/running.md)."""

from litestar import Response, get
from litestar.di import NamedDependency
from litestar.openapi.datastructures import ResponseSpec

from runtime.server.service import Service

TYPE = "text/plain; version=0.0.4"


@get(
    "/metrics",
    responses={200: ResponseSpec(str, media_type="text/plain", description="figures", generate_examples=False)},
    opt={"action": "tell metrics"},
    sync_to_thread=True,
)
def metrics(service: NamedDependency[Service]) -> Response[bytes]:
    from runtime.server import exposition  # noqa: PLC0415  prometheus_client: 50 ms that few servers need

    return Response(exposition.exposed(service), media_type=TYPE)
