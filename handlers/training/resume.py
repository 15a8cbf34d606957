"""POST /api/training/resume/{job_id}: take a paused, cancelled or failed job up again, from its last checkpoint."""

from litestar import post
from litestar.di import NamedDependency
from litestar.params import FromPath
from msgspec import Struct

from runtime.server.jobs import control
from runtime.server.service import Service


class ResumeReply(Struct):
    job_id: str
    status: str
    message: str


@post("/training/resume/{job_id:str}", status_code=200, opt={"action": "resume training"}, sync_to_thread=True)
def resume(job_id: FromPath[str], service: NamedDependency[Service]) -> ResumeReply:
    control.resume(service.index, job_id)
    return ResumeReply(job_id, "resumed", f"Training job {job_id} resumed successfully")
