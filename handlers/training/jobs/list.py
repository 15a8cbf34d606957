"""GET /api/training/jobs: all jobs or a page of them, the newest first.

A page costs what is on it, at a hundred jobs as at a hundred thousand. A long list is made in a thread, a piece at a
time, so that nobody else waits for it.
"""

import asyncio
from datetime import datetime
from typing import Annotated

import msgspec
from litestar import Response, get
from litestar.di import NamedDependency
from litestar.openapi.datastructures import ResponseSpec
from litestar.params import QueryParameter
from msgspec import Struct

from runtime.server.index import JobEntry
from runtime.server.newest import Key
from runtime.server.service import Service
from state.errors import NotFound, ServiceError
from state.jobs import JobState

PIECE = 500  # rows, which take half a millisecond


class ListedJob(Struct):
    job_id: str
    model_name: str
    status: JobState
    progress: float
    created_at: datetime
    started_at: datetime | None
    completed_at: datetime | None


class JobsReply(Struct):
    """`total` counts the jobs of this status on all pages; `next` is the next page's `after`, null on the last one.

    `complete` is false while a server that has just started still reads the folders: jobs may be missing.
    """

    jobs: list[ListedJob]
    total: int
    complete: bool
    next: str | None


@get(
    "/training/jobs",
    responses={200: ResponseSpec(JobsReply, description="jobs, the newest first")},
    opt={"action": "list training jobs"},
)
async def list_jobs(
    service: NamedDependency[Service],
    status: Annotated[JobState | None, QueryParameter(description="only jobs of this status")] = None,
    limit: Annotated[int | None, QueryParameter(ge=1, description="how many at most; without it all")] = None,
    after: Annotated[str | None, QueryParameter(description="the job_id that the page before ended with")] = None,
) -> Response[bytes]:
    index = service.index
    complete, total = index.jobs_are_read, index.count_jobs(status)
    last = None if after is None else await _last_seen(service, after)
    found = index.jobs(status, last, limit and limit + 1)
    has_more = limit is not None and len(found) > limit
    listed = found[:limit]
    rows = _rows(listed) if len(listed) <= PIECE else await asyncio.to_thread(_rows, listed)
    rest = {"total": total, "complete": complete, "next": listed[-1].job_id if has_more else None}
    body = b"".join((b'{"jobs":[', rows, b"],", msgspec.json.encode(rest)[1:]))
    return Response(body, media_type="application/json")


async def _last_seen(service: Service, job_id: str) -> Key:
    try:
        return (await service.index.job_now(job_id)).key
    except NotFound:
        raise ServiceError(f"after: there is no job {job_id} any more: begin again without it") from None


def _rows(entries: list[JobEntry]) -> bytes:
    pieces = (entries[start : start + PIECE] for start in range(0, len(entries), PIECE))
    encoded = (msgspec.json.encode([listed(entry) for entry in piece]) for piece in pieces)
    return b",".join(piece[1:-1] for piece in encoded)


def listed(entry: JobEntry) -> ListedJob:
    return ListedJob(
        job_id=entry.job_id,
        model_name=entry.model_name,
        status=entry.status.status,
        progress=entry.status.progress,
        created_at=entry.created_at,
        started_at=entry.status.started_at,
        completed_at=entry.status.completed_at,
    )
