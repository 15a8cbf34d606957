"""GET /api/training/metrics/{job_id}: the curve of a run, one point a log step."""

import csv
import io
from dataclasses import dataclass
from typing import Annotated, Any, Literal

import msgspec
from litestar import Response, get
from litestar.di import NamedDependency
from litestar.openapi.datastructures import ResponseSpec
from litestar.openapi.spec import OpenAPIMediaType, OpenAPIType, Operation, Schema
from litestar.params import FromPath, QueryParameter
from msgspec import Struct

from runtime.server.news import cursor
from runtime.server.service import Service
from state import metrics
from state.errors import ServiceError
from state.metrics import Point

FEWEST = 10
DIGITS = 5  # of a figure in columns, which are for eyes


class MetricsReply(Struct):
    """Training points have `loss`, evaluation points `eval_loss`; a figure that was not a number is left out.

    `total` counts them before `max_points`. `next` is the `after` of what comes behind them. `reset`: `after` is not in
    the file any more, and these are the first.
    """

    job_id: str
    metrics: list[Point]
    total: int
    next: str
    reset: bool


class ColumnsReply(Struct):
    """The same with a list of each figure that any point has, null where one has it not; five digits of each."""

    job_id: str
    columns: dict[str, list[float | None]]
    total: int
    next: str
    reset: bool


@dataclass
class _AlsoCsv(Operation):
    """Describes the other form of the answer, for which litestar has no place."""

    def __post_init__(self) -> None:
        content = getattr((self.responses or {}).get("200"), "content", None)
        if content is not None:
            content["text/csv"] = OpenAPIMediaType(schema=Schema(type=OpenAPIType.STRING))


@get(
    "/training/metrics/{job_id:str}",
    responses={200: ResponseSpec(MetricsReply | ColumnsReply, description="the curve")},
    opt={"action": "get training metrics"},
    operation_class=_AlsoCsv,
    sync_to_thread=True,
)
def training_metrics(
    job_id: FromPath[str],
    service: NamedDependency[Service],
    after: Annotated[str | None, QueryParameter(description="only what came behind the `next` of an answer")] = None,
    max_points: Annotated[int | None, QueryParameter(ge=FEWEST, description="how many points, with the spikes")] = None,
    format: Annotated[Literal["json", "columns", "csv"], QueryParameter(description="of the answer")] = "json",  # noqa: A002
) -> Response[Any]:
    position = None if after is None else cursor.parse_position(after)
    if after is not None and position is None:
        raise ServiceError("after must be the next of an answer")
    curve = metrics.read_all_on(service.index.job(job_id).folder.metrics_file, position)
    points = curve.points if max_points is None else metrics.thinned(curve.points, max_points)
    if format == "csv":
        headers = {"Content-Disposition": f'attachment; filename="{job_id}.csv"'}
        return Response(_as_csv(points), media_type="text/csv", headers=headers)
    total, end, reset = len(curve.points), cursor.shown(curve.end), curve.is_anew and after is not None
    if format == "columns":
        columns = {name: [_rounded(getattr(point, name)) for point in points] for name in _figures(points)}
        return Response(ColumnsReply(job_id, columns, total, end, reset), media_type="application/json")
    return Response(MetricsReply(job_id, points, total, end, reset), media_type="application/json")


def _as_csv(points: list[Point]) -> bytes:
    text = io.StringIO(newline="")
    writer = csv.DictWriter(text, _figures(points), lineterminator="\n")
    writer.writeheader()
    writer.writerows(msgspec.to_builtins(points))
    return text.getvalue().encode()


def _figures(points: list[Point]) -> list[str]:
    """The names of what any of the points has."""
    found = {name for point in points for name in Point.__struct_fields__ if getattr(point, name) is not None}
    return [name for name in Point.__struct_fields__ if name in found]


def _rounded(figure: float | None) -> float | None:
    return figure if figure is None or isinstance(figure, int) else float(f"{figure:.{DIGITS}g}")
