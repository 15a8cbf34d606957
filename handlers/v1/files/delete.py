"""DELETE /v1/files/{file_id}: delete a file; jobs have their own copies of its rows. In OpenAI's protocol."""

from typing import Literal

from litestar import delete
from litestar.di import NamedDependency
from litestar.params import FromPath
from msgspec import Struct, field

from runtime.server.service import Service
from state import folders, uploaded_files


class DeletedFile(Struct):
    id: str
    deleted: bool = True
    object: Literal["file"] = field(default="file")


@delete("/files/{file_id:str}", status_code=200, opt={"action": "delete the file"}, sync_to_thread=True)
def delete_file(file_id: FromPath[str], service: NamedDependency[Service]) -> DeletedFile:
    folders.vanish(uploaded_files.find(service.root, file_id).folder)
    return DeletedFile(file_id)
