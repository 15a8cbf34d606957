"""From a request to a pending job: every check is made before anything exists."""

from msgspec import structs

from runtime.server import hub
from runtime.server.adapters.names import AdapterNames
from runtime.server.index import Index
from state import (
    config,
    initial_adapters,
    initial_sources,
    lora_patterns,
    methods,
    models,
    new_jobs,
    report_to,
    saved_modules,
)
from state.errors import ServiceError
from state.initial_adapters import Source
from state.jobs import Job, JobFolder
from state.models import Model
from state.root import DataRoot
from state.row_source import RowSource
from state.rows.row import Text
from state.safetensors import Tensor


class Submission:
    """Takes jobs in, each whole and durable or not at all."""

    def __init__(self, root: DataRoot, index: Index, adapter_names: AdapterNames) -> None:
        self._root = root
        self._index = index
        self._adapter_names = adapter_names

    def submit(self, job: Job, train: RowSource, held_out: RowSource | None) -> JobFolder:
        """Create a pending job, durable when this returns. Raises ServiceError, and then nothing was made."""
        job, init = self._checked(job, train, held_out)
        with self._adapter_names.reserved("adapter_name", job.adapter_name):
            folder = new_jobs.create(
                self._root, job, train, held_out, lambda num_rows: check_steps(job, num_rows), init
            )
            self._index.refresh_job(folder.job_id)
        return folder

    def check(self, job: Job, train: RowSource, held_out: RowSource | None) -> None:
        """Raise ServiceError for a job that could not be submitted, as far as is known before its files are read."""
        self._checked(job, train, held_out)

    def _checked(self, job: Job, train: RowSource, held_out: RowSource | None) -> tuple[Job, Source | None]:
        """The job with the LoRA settings that it will have, and the adapter that it goes on from. Raises as `check`."""
        methods.check_settings(job.training_config)
        for source in (train, *([held_out] if held_out else [])):
            if source.path is None:
                methods.check_row(job.training_config.method, source.name, Text(source.texts[0]))
        config.check_evaluation(
            job.training_config, has_rows=held_out is not None, has_prompts=bool(job.sample_prompts)
        )
        report_to.check(job.report_to)
        if job.chat_template is not None:
            check_chat_template(job.chat_template)
        if job.output_dir is not None:
            self._root.output_folder(job.output_dir)
        model = _available(self._root, job.model_name)
        init = self._init(job)
        lora = job.lora
        if init is not None:
            lora = initial_adapters.shape(init.files, init.name, job.lora_config, model.adaptable_modules)
        job = structs.replace(job, lora_config=lora)
        check_training(job, model)
        if train.path is None:
            check_steps(job, sum(1 for _ in train.rows()))
        self._adapter_names.check_is_free("adapter_name", job.adapter_name)
        return job, init

    def _init(self, job: Job) -> Source | None:
        if job.init_adapter is None:
            return None
        return initial_sources.find(self._root, job.init_adapter, job.model_name)


def check_steps(job: Job, num_rows: int) -> None:
    """Raise ServiceError for settings that cannot be meant with this many rows."""
    config.resolved_warmup_steps(job.training_config, config.total_steps(job.training_config, num_rows))


def check_chat_template(source: str) -> None:
    """Raise ServiceError for what is no template."""
    from runtime.server.jobs import chat_template  # noqa: PLC0415  jinja2 would make the server's start a fifth longer

    chat_template.check(source)


def check_training(job: Job, model: "LocatedModel") -> None:
    """Raise ServiceError for settings that cannot be meant with this model."""
    config.check_max_steps(job.training_config)
    config.resolved_max_seq_length(job.training_config, model.context_length)
    targets = config.resolved_target_modules(job.lora, model.adaptable_modules, job.model_name)
    lora_patterns.check(job.lora, model.linear_layers, targets, job.model_name)
    saved_modules.check(job.lora, model.unquantized_modules, model.adaptable_modules, job.model_name)


class LocatedModel(Model, frozen=True, kw_only=True):
    """A model that can be had, with what its files' headers say."""

    adaptable_modules: set[str]
    linear_layers: list[str]
    """Full names, as the model may call them: its files may leave the first part out."""
    unquantized_modules: set[str]
    context_length: int | None


def _available(root: DataRoot, name: str) -> LocatedModel:
    model = models.find(root, name)
    if model.folder is not None:
        described = models.config(model.folder)
        try:
            tensors: dict[str, Tensor] | None = models.tensors(model.folder)
        except FileNotFoundError:
            raise ServiceError(
                f"Model {name} not available: its folder has no model.safetensors, and pickled weights are not loaded"
            ) from None
    else:
        tensors, described = hub.tensors(model.source), {}
    if tensors is None:
        raise ServiceError(f"Model {name} not available")
    layers = list(models.matrices(tensors))
    adaptable = models.adaptable_modules(layers, described.get("model_type"))
    return LocatedModel(
        name=model.name,
        source=model.source,
        kind=model.kind,
        folder=model.folder,
        adaptable_modules=adaptable,
        linear_layers=[prefix + layer for prefix in ("", *models.PREFIXES) for layer in layers],
        unquantized_modules=models.unquantized_modules(tensors, adaptable),
        context_length=models.context_length(described),
    )
