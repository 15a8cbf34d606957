"""GET /api/evaluations: all evaluations, or those of an adapter, the newest first."""

from typing import Annotated

from litestar import get
from litestar.di import NamedDependency
from litestar.params import QueryParameter
from msgspec import Struct

from runtime.server.service import Service
from state import evaluations
from state.errors import BrokenFile, NotFound
from state.evaluation_records import State
from state.evaluations import EvaluationFolder


class ListedEvaluation(Struct):
    """`problem` says which of its files cannot be read."""

    evaluation_id: str
    status: State | None
    adapter_name: str | None
    against: list[str]
    verdict: str | None
    problem: str | None


class EvaluationsReply(Struct):
    evaluations: list[ListedEvaluation]
    total: int


@get("/evaluations", opt={"action": "list evaluations"}, sync_to_thread=True)
def list_evaluations(
    service: NamedDependency[Service],
    adapter_name: Annotated[str | None, QueryParameter(description="only those of this adapter")] = None,
) -> EvaluationsReply:
    found = [_listed(folder) for folder in evaluations.all_folders(service.root)]
    kept = [one for _, one in sorted(found, key=lambda pair: pair[0], reverse=True)]
    if adapter_name is not None:
        kept = [one for one in kept if one.adapter_name == adapter_name]
    return EvaluationsReply(kept, total=len(kept))


def _listed(folder: EvaluationFolder) -> tuple[str, ListedEvaluation]:
    """With what it is sorted by."""
    try:
        evaluation, status = evaluations.read(folder), evaluations.read_status(folder).status
        results = evaluations.read_results(folder) if status == "completed" else None
    except (NotFound, BrokenFile) as error:
        return "", ListedEvaluation(folder.evaluation_id, None, None, [], None, str(error))
    name, *against = [asked.name for asked in evaluation.models]
    verdict = results.verdicts[0].sentence if results else None
    return evaluation.created_at.isoformat(), ListedEvaluation(
        folder.evaluation_id, status, name, against, verdict, None
    )
