"""POST /v1/fine_tuning/jobs/{job_id}/resume: take a paused, cancelled or failed job up again, in OpenAI's protocol."""

from litestar import post
from litestar.di import NamedDependency
from litestar.params import FromPath

from handlers.v1.fine_tuning.jobs.job_object import FineTuningJob, found, job_object
from runtime.server.jobs import control
from runtime.server.service import Service


@post(
    "/fine_tuning/jobs/{job_id:str}/resume",
    status_code=200,
    opt={"action": "resume the fine-tuning job"},
    sync_to_thread=True,
)
def resume_job(job_id: FromPath[str], service: NamedDependency[Service]) -> FineTuningJob:
    entry = found(service, job_id)
    control.resume(service.index, entry.job_id)
    return job_object(service, service.index.job(entry.job_id))
