"""POST /v1/fine_tuning/jobs: start a training job, in OpenAI's protocol."""

import asyncio
import hashlib
from typing import Any

import msgspec
from litestar import Request, post
from litestar.di import NamedDependency
from litestar.params import JSONBody

from handlers.v1.fine_tuning.jobs.job_object import FineTuningJob, job_object
from handlers.v1.fine_tuning.jobs.request import CreateRequest
from runtime.server.service import Service

RETRY_COUNT = "x-stainless-retry-count"
"""What OpenAI's clients say with each request: 0 the first time."""


@post("/fine_tuning/jobs", status_code=200, opt={"action": "start the fine-tuning job"})
async def create_job(
    request: Request[Any, Any, Any], data: JSONBody[CreateRequest], service: NamedDependency[Service]
) -> FineTuningJob:
    """A request that is sent again within ten minutes, and says so, finds the job that the first one made."""
    is_repeated = request.headers.get(RETRY_COUNT, "0") != "0"
    return await asyncio.to_thread(_created, service, data, is_repeated)


def _created(service: Service, data: CreateRequest, is_repeated: bool) -> FineTuningJob:  # noqa: FBT001
    digest = hashlib.sha256(msgspec.json.encode(data, order="deterministic")).hexdigest()

    def make() -> str:
        job = data.job(service.root, service.index, digest)
        rows = data.rows(service.root, job)
        return service.submission.submit(job, rows.train, rows.held_out).job_id

    job_id = service.repeated.once(digest, make, is_repeated=is_repeated)
    return job_object(service, service.index.job(job_id))
