"""Where the rows of an evaluation come from when a request does not bring them."""

from msgspec import structs

from state import adapter_checkpoints, adapter_places, adapters, job_rows, jobs, training_data
from state.errors import NotFound, ServiceError
from state.jobs import JobFolder
from state.root import DataRoot
from state.row_source import RowSource

_INSTEAD = "name a data set with dataset_name, or give rows"


def of_dataset(root: DataRoot, dataset_name: str) -> RowSource:
    """A data set's held-out rows; all its rows where none are held out. Raises ServiceError."""
    found = training_data.held_out(root, dataset_name) or training_data.source(root, dataset_name)
    return structs.replace(found, or_else=None)  # what would help a job


def of_job(root: DataRoot, adapter_name: str) -> RowSource:
    """The rows that an adapter's own training was evaluated on. Raises ServiceError."""
    folder = _job_of(root, adapter_name)
    if folder is None:
        raise ServiceError(f"{adapter_name} was made by no job that is still here: {_INSTEAD}")
    held_out = job_rows.found(root, folder, jobs.read_job(folder)).held_out
    if held_out is None:
        raise ServiceError(f"The job that made {adapter_name} has no rows to evaluate on: {_INSTEAD}")
    return held_out


def trained_on(root: DataRoot, adapter_name: str) -> RowSource | None:
    """The rows that an adapter was trained on, where its job is still here and can be read."""
    folder = _job_of(root, adapter_name)
    try:
        return None if folder is None else job_rows.found(root, folder, jobs.read_job(folder)).train
    except (FileNotFoundError, ServiceError):
        return None


def _job_of(root: DataRoot, adapter_name: str) -> JobFolder | None:
    try:
        return adapter_places.job_of(root, adapters.find(root, adapter_checkpoints.adapter_of(adapter_name)))
    except NotFound:
        return None
