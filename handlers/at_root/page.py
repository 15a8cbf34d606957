"""GET /: the dashboard, a page that speaks to the API below /api.

It brings along what its list of jobs would ask for first, as the API answers: the jobs are drawn with the first paint,
not two round trips later.
"""

from typing import Any

import msgspec
from litestar import Request, Response, route
from litestar.di import NamedDependency
from litestar.enums import HttpMethod

from handlers._http import assets
from handlers.health import health_of
from handlers.training.jobs.list import jobs_of
from runtime.server.service import Service

UNFINISHED = ("running", "pending", "paused")


@route(
    "/",
    http_method=[HttpMethod.GET, HttpMethod.HEAD],
    opt={"action": "show the dashboard"},
    include_in_schema=False,
)
async def page(request: Request[Any, Any, Any], service: NamedDependency[Service]) -> Response[bytes]:
    return assets.page(request, await _first_answers(service))


async def _first_answers(service: Service) -> dict[str, bytes]:
    """Answers in JSON, each by the path that dashboard/pages/jobs.js would ask. While the folders are still read, the
    page asks itself.
    """
    answers = {"/api/health": msgspec.json.encode(health_of(service))}
    if service.index.jobs_are_read:
        answers["/api/training/jobs?limit=50"] = await jobs_of(service, limit=50)
        for status in UNFINISHED:
            answers[f"/api/training/jobs?status={status}&limit=20"] = await jobs_of(service, status, limit=20)
    return answers
