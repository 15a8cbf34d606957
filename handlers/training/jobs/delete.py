"""DELETE /api/training/jobs/{job_id}: remove a finished job's folder; its published adapter stays."""

from litestar import delete
from litestar.di import NamedDependency
from litestar.params import FromPath
from msgspec import Struct

from runtime.server.service import Service
from state import jobs


class DeletedJobReply(Struct):
    job_id: str
    status: str
    message: str


@delete("/training/jobs/{job_id:str}", status_code=200, opt={"action": "delete training job"}, sync_to_thread=True)
def delete_job(job_id: FromPath[str], service: NamedDependency[Service]) -> DeletedJobReply:
    jobs.remove(service.index.job(job_id).folder)
    service.index.refresh_job(job_id)
    return DeletedJobReply(job_id, "deleted", f"Training job {job_id} deleted successfully")
