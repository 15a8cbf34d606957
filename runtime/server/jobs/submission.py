"""From a request to a pending job: every check is made before anything exists."""

from runtime.server import hub
from runtime.server.adapters.names import AdapterNames
from runtime.server.index import Index
from state import config, examples, jobs, methods, models
from state.errors import ServiceError
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
        self.check(job, train, held_out)
        with self._adapter_names.reserved("adapter_name", job.adapter_name):
            folder = jobs.create(self._root, job, train, held_out, lambda num_rows: check_steps(job, num_rows))
            self._index.refresh_job(folder.job_id)
        return folder

    def check(self, job: Job, train: RowSource, held_out: RowSource | None) -> None:
        """Raise ServiceError for a job that could not be submitted, as far as is known before its rows are read."""
        methods.check_settings(job.training_config)
        for source in (train, *([held_out] if held_out else [])):
            if source.path is None:
                examples.check(source.name, source.texts)
                methods.check_row(job.training_config.method, source.name, Text(source.texts[0]))
        if job.output_dir is not None:
            self._root.output_folder(job.output_dir)
        check_training(job, _available(self._root, job.model_name))
        if train.path is None:
            check_steps(job, len(train.texts))
        self._adapter_names.check_is_free("adapter_name", job.adapter_name)


def check_steps(job: Job, num_rows: int) -> None:
    """Raise ServiceError for settings that cannot be meant with this many rows."""
    config.resolved_warmup_steps(job.training_config, config.total_steps(job.training_config, num_rows))


def check_training(job: Job, model: "LocatedModel") -> None:
    """Raise ServiceError for settings that cannot be meant with this model."""
    config.check_max_steps(job.training_config)
    config.resolved_max_seq_length(job.training_config, model.context_length)
    config.resolved_target_modules(job.lora_config, model.adaptable_modules, job.model_name)


class LocatedModel(Model, frozen=True, kw_only=True):
    """A model that can be had, with what its files' headers say."""

    adaptable_modules: set[str]
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
    return LocatedModel(
        name=model.name,
        source=model.source,
        kind=model.kind,
        folder=model.folder,
        adaptable_modules=models.adaptable_modules(models.matrices(tensors), described.get("model_type")),
        context_length=models.context_length(described),
    )
