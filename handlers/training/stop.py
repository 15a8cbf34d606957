"""POST /api/training/stop/{job_id}: cancel a waiting, running or paused job; answers when it is over."""

from litestar import post
from litestar.di import NamedDependency
from litestar.params import FromPath
from msgspec import Struct

from runtime.server.jobs import control
from runtime.server.service import Service


class StopReply(Struct):
    job_id: str
    status: str
    message: str


@post("/training/stop/{job_id:str}", status_code=200, opt={"action": "stop training"})
async def stop(job_id: FromPath[str], service: NamedDependency[Service]) -> StopReply:
    await control.stop(service.index, service.trainers, job_id)
    service.queue.wake()
    return StopReply(job_id, "cancelled", f"Training job {job_id} cancelled successfully")
