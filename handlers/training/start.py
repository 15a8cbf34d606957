"""POST /api/training/start: start a training job."""

from typing import Annotated

from litestar import post
from litestar.di import NamedDependency
from litestar.params import JSONBody
from msgspec import Meta, Struct

from runtime.server.service import Service
from state import training_data
from state.config import LoraConfig, TrainingConfig
from state.errors import ServiceError
from state.jobs import Job
from state.root import DataRoot
from state.row_source import RowSource


class StartRequest(Struct, forbid_unknown_fields=True):
    """The examples come with the request, or from an uploaded data set."""

    model_name: Annotated[str, Meta(min_length=1)]
    train_texts: list[str] | None = None
    dataset_name: str | None = None
    eval_texts: list[str] | None = None
    init_adapter: str | None = None
    lora_config: LoraConfig | None = None
    training_config: TrainingConfig = TrainingConfig()
    output_dir: str | None = None
    adapter_name: str | None = None
    description: str = ""
    seed: Annotated[int, Meta(ge=0, lt=2**32)] = 42

    def job(self) -> Job:
        return Job(
            model_name=self.model_name,
            adapter_name=self.adapter_name,
            description=self.description,
            dataset_name=self.dataset_name,
            init_adapter=self.init_adapter,
            lora_config=self.lora_config,
            training_config=self.training_config,
            seed=self.seed,
            output_dir=self.output_dir,
        )

    def train(self, root: DataRoot) -> RowSource:
        """The rows to train on. Raises ServiceError when there are none, or two kinds."""
        if self.train_texts is not None and self.dataset_name is not None:
            raise ServiceError("train_texts and dataset_name exclude each other: give one of them")
        if self.train_texts is not None:
            return RowSource("train_texts", texts=self.train_texts)
        if self.dataset_name is not None:
            return training_data.source(root, self.dataset_name)
        raise ServiceError("train_texts is required")

    def held_out(self) -> RowSource | None:
        """The rows to evaluate on."""
        return None if self.eval_texts is None else RowSource("eval_texts", texts=self.eval_texts)


class StartReply(Struct):
    job_id: str
    status: str
    message: str


@post("/training/start", status_code=200, opt={"action": "start training"}, sync_to_thread=True)
def start(data: JSONBody[StartRequest], service: NamedDependency[Service]) -> StartReply:
    folder = service.submission.submit(data.job(), data.train(service.root), data.held_out())
    return StartReply(folder.job_id, "submitted", f"Training job {folder.job_id} submitted successfully")
