"""POST /api/evaluations/{evaluation_id}/stop: end an evaluation as it is; its answers so far stay."""

from litestar import post
from litestar.di import NamedDependency
from litestar.params import FromPath
from msgspec import Struct

from runtime.server.service import Service
from state import evaluations


class StoppedReply(Struct):
    evaluation_id: str
    status: str
    message: str


@post("/evaluations/{evaluation_id:str}/stop", status_code=200, opt={"action": "stop evaluation"})
async def stop_evaluation(evaluation_id: FromPath[str], service: NamedDependency[Service]) -> StoppedReply:
    await service.evaluator.stop(evaluations.find(service.root, evaluation_id))
    return StoppedReply(evaluation_id, "cancelled", f"Evaluation {evaluation_id} stopped successfully")
