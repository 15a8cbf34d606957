"""GET /api/training/logs/{job_id}: the end of a trainer's log."""

from typing import Annotated

from litestar import get
from litestar.di import NamedDependency
from litestar.params import FromPath, QueryParameter
from msgspec import Struct

from runtime.server.service import Service
from state.logs import tail


class LogsReply(Struct):
    job_id: str
    lines: list[str]


@get("/training/logs/{job_id:str}", opt={"action": "get training logs"}, sync_to_thread=True)
def training_logs(
    job_id: FromPath[str],
    service: NamedDependency[Service],
    lines: Annotated[int, QueryParameter(ge=1, le=10_000, description="how many lines, counted from the end")] = 200,
) -> LogsReply:
    return LogsReply(job_id=job_id, lines=tail(service.index.job(job_id).folder.log_file, lines))
