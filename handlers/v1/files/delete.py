"""DELETE /v1/files/{file_id}: delete a file; jobs have their own copies of its rows. In OpenAI's protocol."""

from typing import Literal

from litestar import delete
from litestar.di import NamedDependency
from litestar.params import FromPath
from msgspec import Struct, field

from handlers.v1.files import results
from runtime.server.service import Service
from state import folders, uploaded_files
from state.errors import ServiceError


class DeletedFile(Struct):
    id: str
    deleted: bool = True
    object: Literal["file"] = field(default="file")


@delete("/files/{file_id:str}", status_code=200, opt={"action": "delete the file"}, sync_to_thread=True)
def delete_file(file_id: FromPath[str], service: NamedDependency[Service]) -> DeletedFile:
    if results.job_of(service, file_id) is not None:
        raise ServiceError(f"{file_id} is made of the job's metrics whenever it is asked for: delete the job instead")
    folders.vanish(uploaded_files.find(service.root, file_id).folder)
    return DeletedFile(file_id)
