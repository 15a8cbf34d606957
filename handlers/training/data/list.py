"""GET /api/training/data: all data sets, in alphabetical order."""

from contextlib import suppress
from datetime import datetime

from litestar import get
from litestar.di import NamedDependency
from msgspec import Struct

from runtime.server.service import Service
from state import training_data
from state.errors import BrokenFile, NotFound
from state.training_data import Dataset


class ListedDataset(Struct):
    """What the upload found; null for a folder that was put there by hand. `problem`: dataset.json cannot be read."""

    dataset_name: str
    path: str
    num_texts: int | None
    format: str | None
    num_skipped: int | None
    created_at: datetime | None
    num_jobs: int | None
    """The jobs that name it; null until the server has read all jobs."""
    problem: str | None


class DatasetsReply(Struct):
    datasets: list[ListedDataset]
    total: int


@get("/training/data", opt={"action": "list data sets"}, sync_to_thread=True)
def list_datasets(service: NamedDependency[Service]) -> DatasetsReply:
    found = []
    for name in training_data.all_names(service.root):
        with suppress(NotFound):  # it went just now
            found.append(listed(service, name))
    return DatasetsReply(found, len(found))


def listed(service: Service, name: str) -> ListedDataset:
    """Raises NotFound."""
    dataset: Dataset | None = None
    problem = None
    try:
        dataset = training_data.read(service.root, name)
    except BrokenFile as error:
        problem = str(error)
    return ListedDataset(
        dataset_name=name,
        path=service.root.shown(service.root.training_data / name),
        num_texts=dataset.num_texts if dataset else None,
        format=dataset.format if dataset else None,
        num_skipped=dataset.num_skipped if dataset else None,
        created_at=dataset.created_at if dataset else None,
        num_jobs=service.index.count_jobs_with_data(name) if service.index.jobs_are_read else None,
        problem=problem,
    )
