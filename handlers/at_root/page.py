"""GET /: the dashboard, a page that speaks to the API below /api.

It brings along what its list of jobs would ask for first, as the API answers: the jobs are drawn in the frame after the
first paint, not two round trips later.
"""

import asyncio
from typing import Any

import msgspec
from litestar import Request, Response, route
from litestar.di import NamedDependency
from litestar.enums import HttpMethod

from handlers._http import assets
from handlers.health import health_of
from handlers.training.jobs.list import page_of
from runtime.server.service import Service
from state.jobs import JobState

LISTS: dict[str, tuple[JobState | None, int]] = {
    "/api/training/jobs?limit=50": (None, 50),
    "/api/training/jobs?status=running&limit=20": ("running", 20),
    "/api/training/jobs?status=pending&limit=20": ("pending", 20),
    "/api/training/jobs?status=paused&limit=20": ("paused", 20),
}
"""By the path that dashboard/pages/jobs.js would ask: jobs of which status, and how many."""


@route(
    "/",
    http_method=[HttpMethod.GET, HttpMethod.HEAD],
    opt={"action": "show the dashboard"},
    include_in_schema=False,
)
async def page(request: Request[Any, Any, Any], service: NamedDependency[Service]) -> Response[bytes]:
    index = service.index
    health = msgspec.json.encode(health_of(service))
    if not index.jobs_are_read:  # the page asks itself, until they are
        return assets.page(request, {"/api/health": health})
    found = {path: index.jobs(status, None, limit + 1) for path, (status, limit) in LISTS.items()}
    totals = {path: index.count_jobs(status) for path, (status, _) in LISTS.items()}

    def composed() -> Response[bytes]:
        lists = {
            path: page_of(service, found[path], limit, totals[path], complete=True)
            for path, (_, limit) in LISTS.items()
        }
        return assets.page(request, {"/api/health": health} | lists)

    return await asyncio.to_thread(composed)
