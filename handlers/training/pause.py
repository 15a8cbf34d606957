"""POST /api/training/pause/{job_id}: have a waiting or running job wait; answers when it does."""

from litestar import post
from litestar.di import NamedDependency
from litestar.params import FromPath
from msgspec import Struct

from runtime.server.jobs import control
from runtime.server.service import Service


class PauseReply(Struct):
    job_id: str
    status: str
    message: str


@post("/training/pause/{job_id:str}", status_code=200, opt={"action": "pause training"})
async def pause(job_id: FromPath[str], service: NamedDependency[Service]) -> PauseReply:
    await control.pause(service.index, service.trainers, job_id)
    service.queue.wake()
    return PauseReply(job_id, "paused", f"Training job {job_id} paused successfully")
