"""GET /v1/files/{file_id}: what is known of a file, in OpenAI's protocol."""

from litestar import get
from litestar.di import NamedDependency
from litestar.params import FromPath

from handlers.v1.files import results
from handlers.v1.files.file_object import FileObject, file_object
from runtime.server.service import Service
from state import uploaded_files


@get("/files/{file_id:str}", opt={"action": "show the file"}, sync_to_thread=True)
def show_file(file_id: FromPath[str], service: NamedDependency[Service]) -> FileObject:
    job = results.job_of(service, file_id)
    if job is not None:
        return results.result_object(job)
    return file_object(uploaded_files.find(service.root, file_id))
