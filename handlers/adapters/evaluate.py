"""POST /api/adapters/{adapter_name}/evaluate: begin to find out whether an adapter answers better than others."""

import asyncio
from typing import Annotated

from litestar import post
from litestar.di import NamedDependency
from litestar.params import FromPath, JSONBody
from msgspec import Meta, Struct

from handlers._http.sampling import MaxTokens
from handlers.evaluations.evaluation_reply import EvaluationReply
from runtime.server.evaluating import rows, sources
from runtime.server.evaluating.rows import item_of
from runtime.server.grading.grade import check_item, checked
from runtime.server.service import Service
from state import clock
from state.errors import ServiceError
from state.evaluation_records import Asked, Evaluation, Row
from state.graders import AnyGrader, Grader, StringCheck, TextSimilarity

_ANSWER, _REFERENCE = "{{sample.output_text}}", "{{item.reference}}"
DEFAULT: tuple[Grader, ...] = (
    TextSimilarity(name="likeness", input=_ANSWER, reference=_REFERENCE, evaluation_metric="fuzzy_match"),
    StringCheck(name="exact", input=_ANSWER, reference=_REFERENCE, operation="eq"),
)
MOST_ROWS = 5_000


class EvaluateRequest(Struct, forbid_unknown_fields=True, frozen=True, kw_only=True):
    """The rows are those of a data set, those that are given, or else those that the adapter's job was evaluated on."""

    against: Annotated[list[str], Meta(min_length=1, max_length=8)] | None = None
    """Adapters and base models; left out, the adapter's base."""
    dataset_name: str | None = None
    rows: Annotated[list[dict[str, object]], Meta(min_length=1, max_length=MOST_ROWS)] | None = None
    graders: Annotated[list[AnyGrader], Meta(min_length=1, max_length=8)] | None = None
    """The first one decides; left out, the likeness to the reference answer, and whether it is just that."""
    max_tokens: MaxTokens = 256
    max_rows: Annotated[int, Meta(ge=1, le=MOST_ROWS)] = 200
    """Of more rows a random choice, the same each time."""


@post("/adapters/{adapter_name:str}/evaluate", status_code=200, opt={"action": "evaluate adapter"})
async def evaluate(
    adapter_name: FromPath[str], data: JSONBody[EvaluateRequest], service: NamedDependency[Service]
) -> EvaluationReply:
    reply = await asyncio.to_thread(_begun, adapter_name, data, service)
    service.evaluator.wake()
    return reply


def _begun(adapter_name: str, data: EvaluateRequest, service: Service) -> EvaluationReply:
    adapter = service.index.answering_adapter(adapter_name)
    names = [adapter_name, *(data.against or [adapter.model_name])]
    if len(set(names)) < len(names):
        raise ServiceError(f"against: {', '.join(names)}: each model is asked once, so name it once")
    graders = _graders(data)
    source, (found, left_out) = _rows(adapter_name, data, service)
    for grader in graders:
        for row in found:
            check_item(grader, item_of(row))
    evaluation = Evaluation(
        created_at=clock.now(),
        models=[_asked(name, service) for name in names],
        rows=source,
        num_rows=len(found),
        num_left_out=left_out,
        graders=graders,
        max_tokens=data.max_tokens,
    )
    return EvaluationReply.of(service.evaluator.start(evaluation, found), service)


def _asked(name: str, service: Service) -> Asked:
    try:
        answering = service.serving.answering(name)
    except ServiceError as error:
        raise ServiceError(str(error)) from error  # also what is not there: the request names it, not its path
    fingerprint = answering.adapter.fingerprint if answering.adapter else ()
    return Asked(name=name, model_name=answering.model_name, fingerprint=fingerprint)


def _graders(data: EvaluateRequest) -> list[Grader]:
    graders = [checked(grader) for grader in data.graders or DEFAULT]
    names = [grader.name for grader in graders]
    if len(set(names)) < len(names):
        raise ServiceError(f"graders: {', '.join(names)}: give each a name of its own")
    return graders


def _rows(adapter_name: str, data: EvaluateRequest, service: Service) -> tuple[str, tuple[list[Row], dict[str, int]]]:
    """Where they come from, in words, the rows, and how many cannot be asked."""
    if data.rows is not None:
        if data.dataset_name is not None:
            raise ServiceError("dataset_name and rows exclude each other: give one of them")
        return "rows of the request", rows.chosen("rows", rows.given(data.rows), data.max_rows)
    if data.dataset_name is not None:
        source, where = sources.of_dataset(service.root, data.dataset_name), "data set "
    else:
        source, where = sources.of_job(service.root, adapter_name), f"the job that made {adapter_name}, "
    return f"{where}{source.name}", rows.chosen(source.name, source.rows_and_others(), data.max_rows)
