"""GET /v1/files: the files that are kept, in OpenAI's protocol."""

from typing import Annotated, Literal

from litestar import get
from litestar.di import NamedDependency
from litestar.params import FromQuery, QueryParameter
from msgspec import Struct, field

from handlers.v1.files import results
from handlers.v1.files.file_object import FileObject, file_object
from handlers.v1.pages import page
from runtime.server.entries import JobEntry
from runtime.server.service import Service
from state import result_files, uploaded_files

MOST = 10_000


class FileList(Struct):
    """`has_more`: ask again with `after=<last_id>`."""

    data: list[FileObject]
    has_more: bool
    first_id: str | None
    last_id: str | None
    object: Literal["list"] = field(default="list")


class _Listed(Struct, frozen=True):
    """What orders the list: of a job's file only those on the page are made."""

    created_at: int
    id: str
    of: FileObject | JobEntry


@get("/files", opt={"action": "list files"}, sync_to_thread=True)
def list_files(
    service: NamedDependency[Service],
    purpose: FromQuery[str | None] = None,
    limit: Annotated[int, QueryParameter(ge=1, le=MOST)] = MOST,
    order: FromQuery[Literal["asc", "desc"]] = "desc",
    after: FromQuery[str | None] = None,
) -> FileList:
    """The files that were sent, and one of each job that has succeeded, made of its metrics."""
    found: list[_Listed] = []
    if purpose in {None, result_files.PURPOSE}:
        made = service.index.jobs("completed")
        found += [_Listed(results.created_at(job), result_files.id_of(job.job_id), job) for job in made]
    sent = map(file_object, uploaded_files.everyone(service.root))
    found += [_Listed(file.created_at, file.id, file) for file in sent if purpose in {None, file.purpose}]
    found.sort(key=lambda one: (one.created_at, one.id), reverse=order == "desc")
    listed = page(found, after, limit)
    return FileList([_shown(one.of) for one in listed.items], listed.has_more, listed.first_id, listed.last_id)


def _shown(of: FileObject | JobEntry) -> FileObject:
    return of if isinstance(of, FileObject) else results.result_object(of)
