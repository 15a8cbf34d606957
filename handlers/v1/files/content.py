"""GET /v1/files/{file_id}/content: a file's bytes as they came, or a job's curve, in OpenAI's protocol."""

from litestar import Response, get
from litestar.di import NamedDependency
from litestar.params import FromPath
from litestar.response import File

from handlers.v1.files import results
from runtime.server.service import Service
from state import result_files, uploaded_files


@get("/files/{file_id:str}/content", opt={"action": "send the file"}, sync_to_thread=True)
def file_content(file_id: FromPath[str], service: NamedDependency[Service]) -> File | Response[bytes]:
    job = results.job_of(service, file_id)
    if job is not None:
        return Response(result_files.content(job.folder), media_type="text/csv; charset=utf-8")
    file = uploaded_files.find(service.root, file_id)
    return File(file.content, filename=file.record.filename, media_type="application/octet-stream")
