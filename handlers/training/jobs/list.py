"""GET /api/training/jobs: all jobs, the newest first."""

from datetime import datetime

from litestar import get
from litestar.di import NamedDependency
from msgspec import Struct

from runtime.server.service import Service
from state.jobs import JobState


class ListedJob(Struct):
    job_id: str
    model_name: str
    status: JobState
    progress: float
    created_at: datetime
    started_at: datetime | None
    completed_at: datetime | None


class JobsReply(Struct):
    jobs: list[ListedJob]
    total: int


@get("/training/jobs", opt={"action": "list training jobs"})
async def list_jobs(service: NamedDependency[Service]) -> JobsReply:
    listed = [
        ListedJob(
            job_id=entry.job_id,
            model_name=entry.model_name,
            status=entry.status.status,
            progress=entry.status.progress,
            created_at=entry.created_at,
            started_at=entry.status.started_at,
            completed_at=entry.status.completed_at,
        )
        for entry in reversed(service.index.jobs())
    ]
    return JobsReply(jobs=listed, total=len(listed))
