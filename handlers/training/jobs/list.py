"""GET /api/training/jobs: all jobs or a page of them, the newest first.

A page costs what is on it, at a hundred jobs as at a hundred thousand, and has more of each. A long list is made in a
thread, a piece at a time, so that nobody else waits for it.
"""

import asyncio
from typing import Annotated

import msgspec
from litestar import Response, get
from litestar.di import NamedDependency
from litestar.openapi.datastructures import ResponseSpec
from litestar.params import QueryParameter
from msgspec import Struct

from handlers.training.jobs.row import DetailedJob, detailed, listed
from runtime.server.entries import JobEntry
from runtime.server.newest import Key
from runtime.server.service import Service
from state.errors import NotFound, ServiceError
from state.jobs import JobState

PIECE = 500  # rows, which take half a millisecond


class JobsReply(Struct):
    """`total` counts the jobs of this status on all pages; `next` is the next page's `after`, null on the last one.

    `complete` is false while a server that has just started still reads the folders: jobs may be missing.
    """

    jobs: list[DetailedJob]
    total: int
    complete: bool
    next: str | None


@get(
    "/training/jobs",
    responses={200: ResponseSpec(JobsReply, description="jobs, the newest first")},
    opt={"action": "list training jobs"},
)
async def list_jobs(  # noqa: PLR0913, PLR0917  its query parameters
    service: NamedDependency[Service],
    status: Annotated[JobState | None, QueryParameter(description="only jobs of this status")] = None,
    limit: Annotated[int | None, QueryParameter(ge=1, description="how many at most; without it all")] = None,
    after: Annotated[str | None, QueryParameter(description="the job_id that the page before ended with")] = None,
    q: Annotated[str | None, QueryParameter(description="only jobs with this in their id or a name")] = None,
    dataset_name: Annotated[str | None, QueryParameter(description="only jobs that name this data set")] = None,
) -> Response[bytes]:
    index = service.index
    complete, total = index.jobs_are_read, index.count_jobs(status)
    last = None if after is None else await _last_seen(service, after)
    if q is None and dataset_name is None:
        found = index.jobs(status, last, limit and limit + 1)
    elif q is None and status is None and dataset_name is not None:
        total = index.count_jobs_with_data(dataset_name)
        found = index.jobs_with_data(dataset_name, last, limit and limit + 1)
    else:
        matching = await asyncio.to_thread(_matching, service, status, (q or "").casefold(), dataset_name)
        total = len(matching)
        found = [entry for entry in matching if last is None or entry.key < last]
    if limit is not None:
        body = await asyncio.to_thread(page_of, service, found, limit, total, complete=complete)
    else:
        rows = _rows(found) if len(found) <= PIECE else await asyncio.to_thread(_rows, found)
        body = _reply(rows, total, complete=complete, following=None)
    return Response(body, media_type="application/json")


def page_of(service: Service, found: list[JobEntry], limit: int, total: int, *, complete: bool) -> bytes:
    """A JobsReply in JSON, of the first of these jobs, which are one more than `limit` where there are more. For a
    thread: it reads a little of their curves.
    """
    shown = found[:limit]
    following = shown[-1].job_id if len(found) > limit else None
    return _reply(_detailed_rows(service, shown), total, complete=complete, following=following)


def _reply(rows: bytes, total: int, *, complete: bool, following: str | None) -> bytes:
    rest = {"total": total, "complete": complete, "next": following}
    return b"".join((b'{"jobs":[', rows, b"],", msgspec.json.encode(rest)[1:]))


def _matching(service: Service, status: JobState | None, words: str, dataset_name: str | None) -> list[JobEntry]:
    """The jobs with these words in their id, their model's or their adapter's name."""
    index = service.index
    entries = index.jobs(status) if dataset_name is None else index.jobs_with_data(dataset_name)
    return [
        entry
        for entry in entries
        if status in {None, entry.status.status}
        and words in f"{entry.job_id}\n{entry.model_name}\n{entry.adapter or ''}".casefold()
    ]


async def _last_seen(service: Service, job_id: str) -> Key:
    try:
        return (await service.index.job_now(job_id)).key
    except NotFound:
        raise ServiceError(f"after: there is no job {job_id} any more: begin again without it") from None


def _rows(entries: list[JobEntry]) -> bytes:
    pieces = (entries[start : start + PIECE] for start in range(0, len(entries), PIECE))
    encoded = (msgspec.json.encode([listed(entry) for entry in piece]) for piece in pieces)
    return b",".join(piece[1:-1] for piece in encoded)


def _detailed_rows(service: Service, entries: list[JobEntry]) -> bytes:
    pieces = (entries[start : start + PIECE] for start in range(0, len(entries), PIECE))
    encoded = (msgspec.json.encode(detailed(service, piece)) for piece in pieces)
    return b",".join(piece[1:-1] for piece in encoded)
