"""What a request for a fine-tuning job asks for, and the job that it becomes."""

from typing import Annotated

from msgspec import Meta, Struct, structs

from handlers.v1.fine_tuning.jobs.hyperparameters import Hyperparameters, MethodRequest, training_config
from handlers.v1.fine_tuning.jobs.integrations import Integration, as_reports
from runtime.server.index import Index
from state import chat_templates, job_rows, methods, models, training_data, uploaded_files
from state.config import LoraConfig, TrainingConfig
from state.errors import NotFound, ServiceError
from state.job_rows import JobRows
from state.jobs import Job
from state.openai_view import Metadata, OpenAIView, Suffix
from state.report_to import ReportTo
from state.root import DataRoot
from state.samples import DEFAULT_SAMPLE_TOKENS, SamplePrompts, SampleTokens

DEFAULT_SEED = 42


class LatheOptions(Struct, forbid_unknown_fields=True, frozen=True):
    """What Lathe's own start request has beside: the client's `extra_body={"lathe": {…}}`."""

    adapter_name: str | None = None
    description: str = ""
    lora_config: LoraConfig | None = None
    training_config: dict[str, object] = {}
    """Those fields of it that are to be set."""
    sample_prompts: SamplePrompts | None = None
    sample_tokens: SampleTokens = DEFAULT_SAMPLE_TOKENS
    output_dir: str | None = None
    chat_template: chat_templates.Source | None = None
    report_to: ReportTo = []


class CreateRequest(Struct, forbid_unknown_fields=True, frozen=True):
    model: Annotated[str, Meta(min_length=1)]
    """A base model, or an adapter or a checkpoint of one, which the training goes on from."""
    training_file: Annotated[str, Meta(min_length=1)]
    """A file's id, or a data set's name."""
    validation_file: Annotated[str, Meta(min_length=1)] | None = None
    suffix: Suffix | None = None
    """A part of the adapter's name."""
    seed: Annotated[int, Meta(ge=0, lt=2**32)] | None = None
    metadata: Metadata | None = None
    method: MethodRequest | None = None
    hyperparameters: Hyperparameters | None = None
    """As `method` has them; what older clients send."""
    integrations: Annotated[list[Integration], Meta(max_length=5)] | None = None
    """Where its figures are shown, too."""
    lathe: LatheOptions | None = None

    def job(self, root: DataRoot, index: Index, request_sha256: str) -> Job:
        """Raises ServiceError for what cannot be had here, or is said twice."""
        model_name, init_adapter = self._model(root, index)
        options = self.lathe or LatheOptions()
        if self.suffix is not None and options.adapter_name is not None:
            raise ServiceError("suffix and lathe.adapter_name exclude each other: give one of them", param="suffix")
        return Job(
            model_name=model_name,
            init_adapter=init_adapter,
            adapter_name=options.adapter_name,
            description=options.description,
            dataset_name=self.training_file,
            eval_dataset_name=self.validation_file,
            lora_config=options.lora_config,
            training_config=training_config(self.method, self.hyperparameters, options.training_config),
            sample_prompts=options.sample_prompts,
            sample_tokens=options.sample_tokens,
            seed=DEFAULT_SEED if self.seed is None else self.seed,
            output_dir=options.output_dir,
            chat_template=options.chat_template,
            report_to=[*as_reports(self.integrations or []), *options.report_to],
            openai=OpenAIView(suffix=self.suffix, metadata=self.metadata, request_sha256=request_sha256),
        )

    def rows(self, root: DataRoot, job: Job) -> JobRows:
        """What is trained on and evaluated on: the same rows, where the request says so. Raises ServiceError."""
        _check_file(root, "training_file", self.training_file, job.training_config)
        if self.validation_file is None:
            return job_rows.asked(root, job)
        _check_file(root, "validation_file", self.validation_file, job.training_config)
        if self.validation_file != self.training_file:
            return job_rows.asked(root, job)
        rows = job_rows.asked(root, structs.replace(job, eval_dataset_name=None))
        return structs.replace(rows, held_out=training_data.source(root, self.validation_file))

    def _model(self, root: DataRoot, index: Index) -> tuple[str, str | None]:
        """The base, and the adapter to go on from."""
        try:
            return index.answering_adapter(self.model).model_name, self.model
        except NotFound:
            pass
        try:
            models.find(root, self.model)
        except ServiceError as error:
            raise ServiceError(str(error), param="model", code="model_not_found") from error
        return self.model, None


def _check_file(root: DataRoot, param: str, name: str, settings: TrainingConfig) -> None:
    """Raise ServiceError for a file that is not there, or whose rows cannot be trained on."""
    try:
        problem = _problem(root, name, settings)
    except ServiceError as error:
        problem = str(error)
    if problem is not None:
        raise ServiceError(problem, param=param, code=f"invalid_{param}")


def _problem(root: DataRoot, name: str, settings: TrainingConfig) -> str | None:
    """What was wrong when the file came; raises ServiceError for what is wrong now.

    Of its rows the first one is looked at here: whether it goes with the method. The others are when they are copied.
    """
    if name.startswith(uploaded_files.PREFIX):
        record = uploaded_files.find(root, name).record
        if record.status == "error" and not settings.skip_invalid:
            return f"{name}: {record.status_details}"
    for _, row in training_data.source(root, name).rows(skip_invalid=True):
        methods.check_row(settings.method, name, row)
        break
    return None
