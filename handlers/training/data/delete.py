"""DELETE /api/training/data/{dataset_name}: delete a data set; jobs have their own copies."""

from litestar import delete
from litestar.di import NamedDependency
from litestar.params import FromPath
from msgspec import Struct

from runtime.server.service import Service
from state import training_data


class DeletedDatasetReply(Struct):
    dataset_name: str
    status: str
    message: str


@delete("/training/data/{dataset_name:str}", status_code=200, opt={"action": "delete data set"}, sync_to_thread=True)
def delete_dataset(dataset_name: FromPath[str], service: NamedDependency[Service]) -> DeletedDatasetReply:
    training_data.remove(service.root, dataset_name)
    return DeletedDatasetReply(dataset_name, "deleted", f"Dataset {dataset_name} deleted successfully")
