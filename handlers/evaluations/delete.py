"""DELETE /api/evaluations/{evaluation_id}: remove the folder of an evaluation that has ended."""

from litestar import delete
from litestar.di import NamedDependency
from litestar.params import FromPath
from msgspec import Struct

from runtime.server.service import Service
from state import evaluations


class DeletedReply(Struct):
    evaluation_id: str
    status: str
    message: str


@delete("/evaluations/{evaluation_id:str}", status_code=200, opt={"action": "delete evaluation"}, sync_to_thread=True)
def delete_evaluation(evaluation_id: FromPath[str], service: NamedDependency[Service]) -> DeletedReply:
    evaluations.remove(evaluations.find(service.root, evaluation_id))
    service.index.refresh_evaluation(evaluation_id)
    return DeletedReply(evaluation_id, "deleted", f"Evaluation {evaluation_id} deleted successfully")
