"""POST /api/training/start: start a training job."""

from typing import Annotated

from litestar import post
from litestar.di import NamedDependency
from litestar.params import JSONBody
from msgspec import Meta, Struct

from runtime.service import Service
from runtime.submission import submit
from state import training_data
from state.config import LoraConfig, TrainingConfig
from state.errors import ServiceError
from state.jobs import Job


class StartRequest(Struct, forbid_unknown_fields=True):
    """The examples come with the request, or from an uploaded data set."""

    model_name: Annotated[str, Meta(min_length=1)]
    train_texts: list[str] | None = None
    dataset_name: str | None = None
    eval_texts: list[str] | None = None
    lora_config: LoraConfig = LoraConfig()
    training_config: TrainingConfig = TrainingConfig()
    output_dir: str | None = None
    adapter_name: str | None = None
    description: str = ""
    seed: Annotated[int, Meta(ge=0, lt=2**32)] = 42


class StartReply(Struct):
    job_id: str
    status: str
    message: str


@post("/training/start", status_code=200, opt={"action": "start training"}, sync_to_thread=True)
def start(data: JSONBody[StartRequest], service: NamedDependency[Service]) -> StartReply:
    job = Job(
        model_name=data.model_name,
        adapter_name=data.adapter_name,
        description=data.description,
        dataset_name=data.dataset_name,
        lora_config=data.lora_config,
        training_config=data.training_config,
        seed=data.seed,
        output_dir=data.output_dir,
    )
    folder = submit(service.root, service.cache, job, _train_texts(service, data), data.eval_texts)
    return StartReply(folder.job_id, "submitted", f"Training job {folder.job_id} submitted successfully")


def _train_texts(service: Service, data: StartRequest) -> list[str]:
    if data.train_texts is not None and data.dataset_name is not None:
        raise ServiceError("train_texts and dataset_name exclude each other: give one of them")
    if data.train_texts is not None:
        return data.train_texts
    if data.dataset_name is not None:
        return training_data.read_texts(service.root, data.dataset_name)
    raise ServiceError("train_texts is required")
