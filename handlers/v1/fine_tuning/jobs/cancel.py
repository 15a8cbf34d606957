"""POST /v1/fine_tuning/jobs/{job_id}/cancel: cancel a job, in OpenAI's protocol; answers when it is over."""

import asyncio

from litestar import post
from litestar.di import NamedDependency
from litestar.params import FromPath

from handlers.v1.fine_tuning.jobs.job_object import FineTuningJob, found, job_object
from runtime.server.jobs import control
from runtime.server.service import Service


@post("/fine_tuning/jobs/{job_id:str}/cancel", status_code=200, opt={"action": "cancel the fine-tuning job"})
async def cancel_job(job_id: FromPath[str], service: NamedDependency[Service]) -> FineTuningJob:
    entry = await asyncio.to_thread(found, service, job_id)
    await control.stop(service.index, service.trainers, entry.job_id)
    service.queue.wake()
    return await asyncio.to_thread(job_object, service, await service.index.job_now(entry.job_id))
