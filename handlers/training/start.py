"""POST /api/training/start: start a training job."""

from typing import Annotated

from litestar import post
from litestar.di import NamedDependency
from litestar.params import JSONBody
from msgspec import Meta, Struct, structs

from runtime.server.service import Service
from state import chat_templates, job_rows
from state.config import LoraConfig, TrainingConfig
from state.job_rows import JobRows
from state.jobs import Job
from state.report_to import ReportTo
from state.root import DataRoot
from state.samples import DEFAULT_SAMPLE_TOKENS, SamplePrompts, SampleTokens


class StartRequest(Struct, forbid_unknown_fields=True):
    """The examples come with the request, or from an uploaded data set."""

    model_name: Annotated[str, Meta(min_length=1)]
    train_texts: list[str] | None = None
    dataset_name: str | None = None
    eval_texts: list[str] | None = None
    eval_dataset_name: str | None = None
    init_adapter: str | None = None
    lora_config: LoraConfig | None = None
    training_config: TrainingConfig = TrainingConfig()
    output_dir: str | None = None
    adapter_name: str | None = None
    description: str = ""
    sample_prompts: SamplePrompts | None = None
    sample_tokens: SampleTokens = DEFAULT_SAMPLE_TOKENS
    seed: Annotated[int, Meta(ge=0, lt=2**32)] = 42
    chat_template: chat_templates.Source | None = None
    report_to: ReportTo = []

    def job(self) -> Job:
        return Job(
            model_name=self.model_name,
            adapter_name=self.adapter_name,
            description=self.description,
            dataset_name=self.dataset_name,
            eval_dataset_name=self.eval_dataset_name,
            init_adapter=self.init_adapter,
            lora_config=self.lora_config,
            training_config=self.training_config,
            sample_prompts=self.sample_prompts,
            sample_tokens=self.sample_tokens,
            seed=self.seed,
            output_dir=self.output_dir,
            chat_template=self.chat_template,
            report_to=self.report_to,
        )

    def rows(self, root: DataRoot) -> JobRows:
        """What is trained on and evaluated on. Raises ServiceError when there is nothing, or two kinds."""
        texts = structs.replace(self.job(), train_texts=self.train_texts, eval_texts=self.eval_texts)
        return job_rows.asked(root, texts)


class StartReply(Struct):
    job_id: str
    status: str
    message: str


@post("/training/start", status_code=200, opt={"action": "start training"}, sync_to_thread=True)
def start(data: JSONBody[StartRequest], service: NamedDependency[Service]) -> StartReply:
    rows = data.rows(service.root)
    folder = service.submission.submit(data.job(), rows.train, rows.held_out)
    return StartReply(folder.job_id, "submitted", f"Training job {folder.job_id} submitted successfully")
