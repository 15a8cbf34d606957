"""An evaluation, as every endpoint that tells of one says it."""

from datetime import datetime

from msgspec import Struct

from runtime.server.service import Service
from state import evaluations
from state.evaluation_records import State, TableRow, Verdict
from state.evaluations import EvaluationFolder


class EvaluationReply(Struct):
    evaluation_id: str
    path: str
    status: State
    progress: float
    """In percent of the answers."""
    message: str | None
    error_message: str | None
    created_at: datetime
    started_at: datetime | None
    completed_at: datetime | None
    adapter_name: str
    against: list[str]
    rows: str
    """Where they come from."""
    num_rows: int
    num_left_out: dict[str, int]
    """Rows that could not be asked, by why."""
    graders: list[str]
    """Their names; the first one decides."""
    verdict: str | None
    """By the first grader, against the first model; null until every answer is there."""
    verdicts: list[Verdict]
    table: list[TableRow]
    warnings: list[str]

    @classmethod
    def of(cls, folder: EvaluationFolder, service: Service) -> "EvaluationReply":
        """Raises BrokenFile; NotFound when the folder goes."""
        evaluation, status = evaluations.read(folder), evaluations.read_status(folder)
        found = evaluations.read_results(folder) if status.status == "completed" else None
        total = evaluation.num_answers
        num_answers = total if found else min(total, evaluations.count_answers(folder))
        return cls(
            evaluation_id=folder.evaluation_id,
            path=service.root.shown(folder.path),
            status=status.status,
            progress=round(100 * num_answers / total, 1),
            message=status.message,
            error_message=status.error_message,
            created_at=evaluation.created_at,
            started_at=status.started_at,
            completed_at=status.completed_at,
            adapter_name=evaluation.models[0].name,
            against=[asked.name for asked in evaluation.models[1:]],
            rows=evaluation.rows,
            num_rows=evaluation.num_rows,
            num_left_out=evaluation.num_left_out,
            graders=[grader.name for grader in evaluation.graders],
            verdict=found.verdicts[0].sentence if found else None,
            verdicts=found.verdicts if found else [],
            table=found.table if found else [],
            warnings=found.warnings if found else [],
        )
