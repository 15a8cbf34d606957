"""GET /api/training/data/{dataset_name}: what a data set holds, by its files as they are now."""

from litestar import get
from litestar.di import NamedDependency
from litestar.params import FromPath
from msgspec import Struct

from runtime.server.service import Service
from state import training_data
from state.rows.problems import Problem
from state.rows.reading import FileReport, Report


class DatasetReply(Struct):
    """`problems` are the first 50 rows that cannot be used; `problem_counts` counts all of them by what is wrong."""

    dataset_name: str
    path: str
    row_kind: str | None
    num_rows: int
    num_usable: int
    num_invalid: int
    files: list[FileReport]
    ignored_files: list[str]
    unused_keys: dict[str, int]
    problems: list[Problem]
    problem_counts: dict[str, int]
    sha256: str


@get("/training/data/{dataset_name:str}", opt={"action": "show data set"}, sync_to_thread=True)
def show_dataset(dataset_name: FromPath[str], service: NamedDependency[Service]) -> DatasetReply:
    return _reply(service, dataset_name, training_data.inspect(service.root, dataset_name))


def _reply(service: Service, dataset_name: str, report: Report) -> DatasetReply:
    return DatasetReply(
        dataset_name=dataset_name,
        path=service.root.shown(service.root.training_data / dataset_name),
        row_kind=report.row_kind,
        num_rows=report.total,
        num_usable=report.used,
        num_invalid=report.bad,
        files=report.files,
        ignored_files=report.ignored_files,
        unused_keys=report.unused_keys,
        problems=report.problems,
        problem_counts=report.problem_counts,
        sha256=report.sha256,
    )
