"""GET /api/events: what changes, as it changes, in one stream of server-sent events (docs/events.md)."""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import aclosing, suppress
from datetime import datetime
from typing import Annotated, Any

import msgspec
from litestar import get
from litestar.di import NamedDependency
from litestar.openapi.datastructures import ResponseSpec
from litestar.params import HeaderParameter, QueryParameter
from litestar.response import Stream as StreamReply
from msgspec import Struct, structs

from handlers.adapters.list import listed as adapter_row
from handlers.training.data.list import listed as dataset_row
from handlers.training.jobs.row import detailed
from runtime.server.entries import JobEntry
from runtime.server.news import cursor
from runtime.server.news.cursor import FileKind
from runtime.server.news.lookout import Vitals
from runtime.server.news.stream import Beat, Changed, News, Points, Stream, Text
from runtime.server.revisions import Kind
from runtime.server.service import Service
from state import clock, metrics, names, training_data
from state.errors import NotFound, ServiceError
from state.version import VERSION

RETRY_MS = 1000
FIRST_PAGE = 50
MOST_CURVES = 20


class Hello(Struct):
    """`columns` names the figures of each point."""

    boot: str
    version: str
    time: datetime
    columns: tuple[str, ...]


class Entries(Struct):
    """`changed` are rows of the list of its kind. After a `reset` they are the first page, and all others unknown."""

    reset: bool
    changed: list[Any]
    gone: list[str]
    total: int


@get(
    "/events",
    responses={200: ResponseSpec(str, media_type="text/event-stream", description="events", generate_examples=False)},
    opt={"action": "follow what changes"},
)
async def events(
    service: NamedDependency[Service],
    curve: Annotated[str, QueryParameter(description="jobs whose curves to follow, with commas between them")] = "",
    log: Annotated[str, QueryParameter(description="the job whose log to follow")] = "",
    after: Annotated[str | None, QueryParameter(description="the id of the last event that was heard")] = None,
    last_event_id: Annotated[str | None, HeaderParameter(name="Last-Event-ID")] = None,
) -> StreamReply:
    curves = _ids("curve", curve)
    if len(curves) > MOST_CURVES:
        raise ServiceError(f"curve must name at most {MOST_CURVES} jobs")
    files: list[tuple[FileKind, str]] = [("c", job_id) for job_id in curves]
    files += [("l", job_id) for job_id in _ids("log", log)[:1]]
    heard = last_event_id or after
    stream = Stream(service.index, service.lookout, files, cursor.parse(heard) if heard else None)
    headers = {"Cache-Control": "no-store", "X-Accel-Buffering": "no"}
    return StreamReply(_encoded(service, stream), media_type="text/event-stream", headers=headers)


def _ids(parameter: str, listed: str) -> list[str]:
    found = [job_id for job_id in dict.fromkeys(listed.split(",")) if job_id]
    for job_id in found:
        names.check(parameter, job_id)
    return found


async def _encoded(service: Service, stream: Stream) -> AsyncIterator[bytes]:
    yield f"retry: {RETRY_MS}\n\n".encode()
    hello = Hello(service.index.revisions.boot, VERSION, clock.now(), metrics.Point.__struct_fields__)
    yield _event("hello", hello)
    async with aclosing(stream.news(service.ending)) as news:
        async for one in news:
            yield await asyncio.to_thread(_told, service, one)


def _told(service: Service, news: News) -> bytes:
    name, data = _name_and_data(service, news)
    head = f"id: {news.cursor}\n" if news.cursor is not None else ""
    return head.encode() + _event(name, data)


def _event(name: str, data: object) -> bytes:
    return f"event: {name}\ndata: ".encode() + msgspec.json.encode(data) + b"\n\n"


def _name_and_data(service: Service, news: News) -> tuple[str, object]:
    match news.told:
        case Changed(kind, changed):
            return kind, _ENTRIES[kind](service, changed)
        case Points(job_id, reset, points):
            rows = [structs.astuple(point) for point in points]
            return "points", {"job": job_id, "reset": reset, "points": rows}
        case Text(job_id, reset, text):
            return "log", {"job": job_id, "reset": reset, "text": text}
        case Vitals() as vitals:
            return "machine", vitals
        case Beat():
            return "beat", {"time": clock.now()}


def _jobs(service: Service, changed: set[str] | None) -> Entries:
    index = service.index
    entries = _first_jobs(service) if changed is None else index.known_jobs(changed)
    gone = (changed or set()) - {entry.job_id for entry in entries}
    return Entries(changed is None, detailed(service, entries), sorted(gone), index.count_jobs())


def _first_jobs(service: Service) -> list[JobEntry]:
    """The newest, and whatever waits or runs."""
    first = service.index.jobs(limit=FIRST_PAGE)
    known = {entry.job_id for entry in first}
    return first + [entry for entry in service.index.unfinished()[:FIRST_PAGE] if entry.job_id not in known]


def _adapters(service: Service, changed: set[str] | None) -> Entries:
    index = service.index
    found = index.adapters(FIRST_PAGE) if changed is None else index.known_adapters(changed)
    gone = (changed or set()) - {adapter.name for adapter in found}
    rows = [adapter_row(service, adapter) for adapter in found]
    return Entries(changed is None, rows, sorted(gone), index.count_adapters())


def _datasets(service: Service, changed: set[str] | None) -> Entries:
    present: list[str] = []
    with suppress(OSError):  # whose folder is gone
        present = training_data.all_names(service.root)
    rows = []
    for name in present[:FIRST_PAGE] if changed is None else sorted(changed.intersection(present)):
        with suppress(NotFound):  # it went just now
            rows.append(dataset_row(service, name))
    gone = (changed or set()) - {row.dataset_name for row in rows}
    return Entries(changed is None, rows, sorted(gone), len(present))


_ENTRIES: dict[Kind, Callable[[Service, set[str] | None], Entries]] = {
    "jobs": _jobs,
    "adapters": _adapters,
    "data": _datasets,
}
