"""GET /api/evaluations/{evaluation_id}: how far an evaluation is, and what has come of it."""

from litestar import get
from litestar.di import NamedDependency
from litestar.params import FromPath

from handlers.evaluations.evaluation_reply import EvaluationReply
from runtime.server.service import Service
from state import evaluations


@get("/evaluations/{evaluation_id:str}", opt={"action": "show evaluation"}, sync_to_thread=True)
def show_evaluation(evaluation_id: FromPath[str], service: NamedDependency[Service]) -> EvaluationReply:
    return EvaluationReply.of(evaluations.find(service.root, evaluation_id), service)
