"""GET /v1/fine_tuning/jobs/{job_id}/events: what happened to a job, the newest first, in OpenAI's protocol."""

from typing import Annotated, Literal

from litestar import get
from litestar.di import NamedDependency
from litestar.params import FromPath, FromQuery, QueryParameter
from msgspec import Struct, field

from handlers.v1.fine_tuning.jobs.event_object import Event, events
from handlers.v1.fine_tuning.jobs.job_object import found
from handlers.v1.pages import page
from runtime.server.service import Service


class EventList(Struct):
    """`has_more`: ask again with `after`, the id of the last one."""

    data: list[Event]
    has_more: bool
    object: Literal["list"] = field(default="list")


@get("/fine_tuning/jobs/{job_id:str}/events", opt={"action": "list the job's events"}, sync_to_thread=True)
def list_events(
    job_id: FromPath[str],
    service: NamedDependency[Service],
    after: FromQuery[str | None] = None,
    limit: Annotated[int, QueryParameter(ge=1, le=10_000)] = 20,
) -> EventList:
    listed = page(events(found(service, job_id)), after, limit)
    return EventList(listed.items, listed.has_more)
