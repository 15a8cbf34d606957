"""From a request to a pending job: every check is made before anything exists."""

from runtime.server import hub
from runtime.server.adapters.names import AdapterNames
from runtime.server.index import Index
from state import config, examples, jobs, models
from state.errors import ServiceError
from state.jobs import Job, JobFolder
from state.models import Model
from state.root import DataRoot
from state.safetensors import Tensor


class Submission:
    """Takes jobs in, each whole and durable or not at all."""

    def __init__(self, root: DataRoot, index: Index, adapter_names: AdapterNames) -> None:
        self._root = root
        self._index = index
        self._adapter_names = adapter_names

    def submit(self, job: Job, train_texts: list[str], eval_texts: list[str] | None) -> JobFolder:
        """Create a pending job, durable when this returns. Raises ServiceError, and then nothing was made."""
        self.check(job, train_texts, eval_texts)
        with self._adapter_names.reserved("adapter_name", job.adapter_name):
            folder = jobs.create(self._root, job, train_texts, eval_texts)
            self._index.refresh_job(folder.job_id)
        return folder

    def check(self, job: Job, train_texts: list[str], eval_texts: list[str] | None) -> None:
        """Raise ServiceError for a job that could not be submitted."""
        examples.check("train_texts", train_texts)
        if eval_texts is not None:
            examples.check("eval_texts", eval_texts)
        if job.output_dir is not None:
            self._root.output_folder(job.output_dir)
        check_training(job, len(train_texts), _available(self._root, job.model_name))
        self._adapter_names.check_is_free("adapter_name", job.adapter_name)


def check_training(job: Job, num_examples: int, model: "LocatedModel") -> None:
    """Raise ServiceError for settings that cannot be meant with this model and this many examples."""
    config.check_max_steps(job.training_config)
    config.resolved_warmup_steps(job.training_config, config.total_steps(job.training_config, num_examples))
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
