"""GET /api/evaluations/{evaluation_id}/answers: the rows of an evaluation, with what each model has answered so far."""

from typing import Annotated

from litestar import get
from litestar.di import NamedDependency
from litestar.params import FromPath, QueryParameter
from msgspec import Struct

from runtime.server.service import Service
from state import evaluations
from state.evaluation_records import Answer, Row, Turn


class AnsweredRow(Struct):
    """`line` is where it stands in its data; `answers` are those that there are, the adapter's first."""

    row: int
    line: int
    prompt: str | list[Turn]
    reference: str
    answers: list[Answer]


class AnswersReply(Struct):
    """`total` counts the rows of the evaluation; `next` is the next page's `after`, null on the last one."""

    evaluation_id: str
    rows: list[AnsweredRow]
    total: int
    next: int | None


@get("/evaluations/{evaluation_id:str}/answers", opt={"action": "show answers"}, sync_to_thread=True)
def list_answers(
    evaluation_id: FromPath[str],
    service: NamedDependency[Service],
    limit: Annotated[int, QueryParameter(ge=1, le=1000, description="how many rows at most")] = 100,
    after: Annotated[int, QueryParameter(ge=0, description="the row that the page before ended with")] = 0,
) -> AnswersReply:
    folder = evaluations.find(service.root, evaluation_id)
    evaluation, rows = evaluations.read(folder), evaluations.read_rows(folder)
    listed = rows[after : after + limit]
    answers = {(answer.row, answer.model): answer for answer in evaluations.read_answers(folder)}
    names = [asked.name for asked in evaluation.models]
    found = [_answered(row, [answers.get((row.row, name)) for name in names]) for row in listed]
    has_more = after + limit < len(rows)
    return AnswersReply(evaluation_id, found, total=len(rows), next=listed[-1].row if has_more else None)


def _answered(row: Row, answers: list[Answer | None]) -> AnsweredRow:
    return AnsweredRow(row.row, row.line, row.prompt, row.reference, [one for one in answers if one is not None])
