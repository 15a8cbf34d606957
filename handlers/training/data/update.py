"""PATCH /api/training/data/{dataset_name}: give a data set another name; jobs have their own copies."""

from litestar import patch
from litestar.di import NamedDependency
from litestar.params import FromPath, JSONBody
from msgspec import Struct

from handlers.training.data.list import ListedDataset, listed
from runtime.server.service import Service
from state import training_data


class UpdateDatasetRequest(Struct, forbid_unknown_fields=True):
    dataset_name: str
    """The new name."""


@patch("/training/data/{dataset_name:str}", opt={"action": "update data set"}, sync_to_thread=True)
def update_dataset(
    dataset_name: FromPath[str], data: JSONBody[UpdateDatasetRequest], service: NamedDependency[Service]
) -> ListedDataset:
    training_data.rename(service.root, dataset_name, data.dataset_name)
    return listed(service, data.dataset_name)
