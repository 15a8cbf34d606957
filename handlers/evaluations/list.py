"""GET /api/evaluations: all evaluations, or those of an adapter, the newest first."""

from typing import Annotated

from litestar import get
from litestar.di import NamedDependency
from litestar.params import QueryParameter
from msgspec import Struct

from runtime.server.entries import EvaluationEntry
from runtime.server.service import Service
from state.evaluation_records import State


class ListedEvaluation(Struct):
    """`problem` says which of its files cannot be read."""

    evaluation_id: str
    status: State | None
    adapter_name: str | None
    against: list[str]
    verdict: str | None
    problem: str | None


class EvaluationsReply(Struct):
    """`complete` is false while a server that has just started still reads the folders: evaluations may be missing."""

    evaluations: list[ListedEvaluation]
    total: int
    complete: bool


@get("/evaluations", opt={"action": "list evaluations"}, sync_to_thread=True)
def list_evaluations(
    service: NamedDependency[Service],
    adapter_name: Annotated[str | None, QueryParameter(description="only those of this adapter")] = None,
) -> EvaluationsReply:
    complete = service.index.evaluations_are_read
    rows = [_listed(entry) for entry in service.index.evaluations(adapter_name)]
    return EvaluationsReply(rows, total=len(rows), complete=complete)


def _listed(entry: EvaluationEntry) -> ListedEvaluation:
    return ListedEvaluation(
        evaluation_id=entry.evaluation_id,
        status=entry.status,
        adapter_name=entry.adapter_name,
        against=list(entry.against),
        verdict=entry.verdict,
        problem=entry.problem,
    )
