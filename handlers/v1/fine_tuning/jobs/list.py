"""GET /v1/fine_tuning/jobs: all jobs, the newest first, in OpenAI's protocol."""

from collections.abc import Iterator
from contextlib import suppress
from itertools import islice
from typing import Annotated, Any, Literal

from litestar import Request, get
from litestar.di import NamedDependency
from litestar.params import FromQuery, QueryParameter
from msgspec import Struct, field

from handlers.v1.fine_tuning.jobs.job_object import FineTuningJob, job_id_of, job_object
from runtime.server.entries import JobEntry
from runtime.server.newest import Key
from runtime.server.service import Service
from state.errors import NotFound, ServiceError

MOST = 1000
READ_AT_ONCE = 200


class FineTuningJobList(Struct):
    """`has_more`: ask again with `after`, the id of the last one."""

    data: list[FineTuningJob]
    has_more: bool
    object: Literal["list"] = field(default="list")


@get(
    "/fine_tuning/jobs",
    opt={"action": "list fine-tuning jobs", "deep_parameter": "metadata"},
    sync_to_thread=True,
)
def list_jobs(
    request: Request[Any, Any, Any],
    service: NamedDependency[Service],
    after: FromQuery[str | None] = None,
    limit: Annotated[int, QueryParameter(ge=1, le=MOST)] = 20,
    metadata: Annotated[Literal["null"] | None, QueryParameter(description="or pairs: metadata[key]=value")] = None,
) -> FineTuningJobList:
    """With `metadata[key]=value`, jobs that have all these pairs; with `metadata=null`, jobs that have none."""
    del metadata  # litestar reads "null" as None
    pairs = {name[len("metadata[") : -1]: value for name, value in request.query_params.items() if "[" in name}
    is_null = "metadata" in request.query_params
    if is_null and pairs:
        raise ServiceError("metadata=null and pairs of metadata exclude each other", param="metadata")
    entries = _entries(service, _key(service, after))
    if is_null or pairs:
        entries = (entry for entry in entries if _has(entry, pairs))
    listed = list(islice(entries, limit + 1))
    shown = []
    for entry in listed[:limit]:
        with suppress(NotFound):  # it went just now
            shown.append(job_object(service, entry))
    return FineTuningJobList(shown, len(listed) > limit)


def _key(service: Service, after: str | None) -> Key | None:
    if after is None:
        return None
    try:
        return service.index.job(job_id_of(after)).key
    except NotFound:
        raise ServiceError(f"after: there is no job {after}: begin again without it", param="after") from None


def _entries(service: Service, last: Key | None) -> Iterator[JobEntry]:
    while found := service.index.jobs(after=last, limit=READ_AT_ONCE):
        yield from found
        last = found[-1].key


def _has(entry: JobEntry, pairs: dict[str, str]) -> bool:
    """Whether the job has all these pairs; of none, whether it has none."""
    own = entry.metadata or {}
    return pairs.items() <= own.items() if pairs else not own
