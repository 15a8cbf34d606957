"""GET /v1/fine_tuning/jobs/{job_id}: where a job stands, in OpenAI's protocol."""

from litestar import get
from litestar.di import NamedDependency
from litestar.params import FromPath

from handlers.v1.fine_tuning.jobs.job_object import FineTuningJob, found, job_object
from runtime.server.service import Service


@get("/fine_tuning/jobs/{job_id:str}", opt={"action": "show the fine-tuning job"}, sync_to_thread=True)
def show_job(job_id: FromPath[str], service: NamedDependency[Service]) -> FineTuningJob:
    return job_object(service, found(service, job_id))
