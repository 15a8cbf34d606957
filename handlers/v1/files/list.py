"""GET /v1/files: the files that are kept, in OpenAI's protocol."""

from typing import Annotated, Literal

from litestar import get
from litestar.di import NamedDependency
from litestar.params import FromQuery, QueryParameter
from msgspec import Struct, field

from handlers.v1.files import results
from handlers.v1.files.file_object import FileObject, file_object
from handlers.v1.pages import page
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


@get("/files", opt={"action": "list files"}, sync_to_thread=True)
def list_files(
    service: NamedDependency[Service],
    purpose: FromQuery[str | None] = None,
    limit: Annotated[int, QueryParameter(ge=1, le=MOST)] = MOST,
    order: FromQuery[Literal["asc", "desc"]] = "desc",
    after: FromQuery[str | None] = None,
) -> FileList:
    """The result files of jobs are listed where their purpose is asked for: there is one for each job."""
    if purpose == result_files.PURPOSE:
        found = [results.result_object(job) for job in service.index.jobs("completed")]
    else:
        found = [file_object(file) for file in uploaded_files.everyone(service.root)]
    asked = [file for file in found if purpose in {None, file.purpose}]
    asked.sort(key=lambda file: (file.created_at, file.id), reverse=order == "desc")
    files, has_more = page(asked, after, limit)
    return FileList(files, has_more, files[0].id if files else None, files[-1].id if files else None)
