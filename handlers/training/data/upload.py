"""POST /api/training/data/upload: keep training examples under a name, for jobs to come."""

from litestar import post
from litestar.di import NamedDependency
from litestar.params import JSONBody
from msgspec import Struct

from runtime.server.service import Service
from state import training_data


class UploadRequest(Struct, forbid_unknown_fields=True):
    """A data set of the same name is replaced; left out, the name is made from the time."""

    train_texts: list[str]
    dataset_name: str | None = None


class UploadReply(Struct):
    dataset_name: str
    num_texts: int
    status: str
    message: str


@post("/training/data/upload", status_code=200, opt={"action": "upload training data"}, sync_to_thread=True)
def upload(data: JSONBody[UploadRequest], service: NamedDependency[Service]) -> UploadReply:
    saved = training_data.save(service.root, data.dataset_name, data.train_texts)
    return UploadReply(
        dataset_name=saved.dataset_name,
        num_texts=saved.num_texts,
        status="uploaded",
        message=f"Training data uploaded successfully with {saved.num_texts} texts",
    )
