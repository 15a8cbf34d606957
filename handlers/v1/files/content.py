"""GET /v1/files/{file_id}/content: a file's bytes as they came, in OpenAI's protocol."""

from litestar import get
from litestar.di import NamedDependency
from litestar.params import FromPath
from litestar.response import File

from runtime.server.service import Service
from state import uploaded_files


@get("/files/{file_id:str}/content", opt={"action": "send the file"}, sync_to_thread=True)
def file_content(file_id: FromPath[str], service: NamedDependency[Service]) -> File:
    file = uploaded_files.find(service.root, file_id)
    return File(file.content, filename=file.record.filename, media_type="application/octet-stream")
