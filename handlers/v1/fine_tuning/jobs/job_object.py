"""A job as OpenAI's protocol shows it."""

from typing import Literal

from msgspec import Struct, field

from handlers.v1.fine_tuning.jobs import integrations
from handlers.v1.fine_tuning.jobs.integrations import Integration
from runtime.server.entries import JobEntry
from runtime.server.service import Service
from state import clock, fine_tuning, jobs, metrics, result_files
from state.config import TrainingConfig
from state.errors import BrokenFile, NotFound
from state.jobs import Job, JobState, Status

PREFIX = "ftjob-"
ORGANIZATION = "org-local"

JobStatus = Literal["queued", "running", "paused", "succeeded", "failed", "cancelled"]
STATUSES: dict[JobState, JobStatus] = {
    "pending": "queued",
    "running": "running",
    "paused": "paused",
    "completed": "succeeded",
    "failed": "failed",
    "cancelled": "cancelled",
}


class JobHyperparameters(Struct):
    """As they are: nothing is "auto" any more. `batch_size` is the rows of one optimizer step."""

    n_epochs: int | None
    """None where the job ends at a step, `max_steps`, and not with an epoch."""
    batch_size: int
    learning_rate_multiplier: float


class PreferenceHyperparameters(JobHyperparameters):
    beta: float


class Supervised(Struct):
    hyperparameters: JobHyperparameters


class Dpo(Struct):
    hyperparameters: PreferenceHyperparameters


class JobMethod(Struct):
    type: Literal["supervised", "dpo"]
    supervised: Supervised | None = None
    dpo: Dpo | None = None


class JobError(Struct):
    code: str
    message: str
    param: str | None = None


class LatheJob(Struct):
    """The same job in Lathe's own words. `progress` is in percent; `current_step` and `total_steps` count optimizer
    steps; `message` is what it does while it takes none, or what it waits for.
    """

    job_id: str
    folder: str
    status: JobState
    progress: float
    current_step: int
    total_steps: int
    message: str | None


class FineTuningJob(Struct, kw_only=True):
    """Times are Unix times, in seconds. Of a job that was started otherwise, `training_file` is the data set's name,
    or empty.
    """

    id: str
    model: str
    created_at: int
    finished_at: int | None
    estimated_finish: int | None
    fine_tuned_model: str | None
    organization_id: str = field(default=ORGANIZATION)
    result_files: list[str]
    status: JobStatus
    training_file: str
    validation_file: str | None
    hyperparameters: JobHyperparameters
    method: JobMethod
    trained_tokens: int | None
    """Target tokens, each as often as it was learned; once the job has ended."""
    error: JobError | None
    seed: int
    integrations: list[Integration]
    metadata: dict[str, str] | None
    user_provided_suffix: str | None
    lathe: LatheJob
    object: Literal["fine_tuning.job"] = field(default="fine_tuning.job")


def job_id_of(shown: str) -> str:
    """The job's own id. Raises NotFound for what is none of a job."""
    if not shown.startswith(PREFIX):
        raise NotFound(f"No such fine-tuning job: {shown}", param="fine_tuning_job_id")
    return shown.removeprefix(PREFIX)


def found(service: Service, shown: str) -> JobEntry:
    """A job by its files as they are now. Raises NotFound."""
    try:
        return service.index.job(job_id_of(shown))
    except NotFound:
        raise NotFound(f"No such fine-tuning job: {shown}", param="fine_tuning_job_id") from None


def job_object(service: Service, entry: JobEntry) -> FineTuningJob:
    """Of a job some of whose files cannot be read, what is still known. Raises NotFound when it goes meanwhile."""
    job, status = _job(entry), entry.status
    points = _points(entry) if status.status in {"running", *jobs.FINISHED} else []
    view = job.openai
    return FineTuningJob(
        id=f"{PREFIX}{entry.job_id}",
        model=job.init_adapter or entry.model_name,
        created_at=int(entry.created_at.timestamp()),
        finished_at=int(status.completed_at.timestamp()) if status.completed_at else None,
        estimated_finish=_estimated_finish(status, points),
        fine_tuned_model=status.adapter_name if status.status == "completed" else None,
        result_files=[result_files.id_of(entry.job_id)] if status.status == "completed" else [],
        status=STATUSES[status.status],
        training_file=job.dataset_name or "",
        validation_file=job.eval_dataset_name,
        hyperparameters=_hyperparameters(job.training_config),
        method=_method(job.training_config),
        trained_tokens=sum(point.tokens or 0 for point in points) if status.status in jobs.FINISHED else None,
        error=_error(entry),
        seed=job.seed,
        integrations=integrations.shown(job.report_to),
        metadata=view.metadata if view else None,
        user_provided_suffix=view.suffix if view else None,
        lathe=LatheJob(
            job_id=entry.job_id,
            folder=service.root.shown(entry.path),
            status=status.status,
            progress=status.progress,
            current_step=status.current_step,
            total_steps=status.total_steps,
            message=entry.problem or status.message or service.queue.obstacle(entry.job_id),
        ),
    )


def _job(entry: JobEntry) -> Job:
    try:
        return jobs.read_job(entry.folder)
    except FileNotFoundError:
        raise NotFound(f"No such fine-tuning job: {PREFIX}{entry.job_id}", param="fine_tuning_job_id") from None
    except BrokenFile:
        return Job(model_name=entry.model_name or "unknown")


def _points(entry: JobEntry) -> list[metrics.Point]:
    try:
        return metrics.read(entry.folder.metrics_file)
    except BrokenFile:
        return []


def _hyperparameters(settings: TrainingConfig) -> JobHyperparameters:
    n_epochs = None if settings.max_steps > 0 else settings.num_epochs
    return JobHyperparameters(n_epochs, fine_tuning.examples_per_step(settings), fine_tuning.rate_multiplier(settings))


def _method(settings: TrainingConfig) -> JobMethod:
    own = _hyperparameters(settings)
    if settings.method == "sft":
        return JobMethod("supervised", supervised=Supervised(own))
    with_beta = PreferenceHyperparameters(
        own.n_epochs, own.batch_size, own.learning_rate_multiplier, beta=settings.beta
    )
    return JobMethod("dpo", dpo=Dpo(with_beta))


def _error(entry: JobEntry) -> JobError | None:
    if entry.status.status != "failed":
        return None
    return JobError("training_failed", entry.error_message or "The training failed")


def _estimated_finish(status: Status, points: list[metrics.Point]) -> int | None:
    """By the pace of the run so far; None until the first step is logged."""
    timed = next((point for point in reversed(points) if point.elapsed_s), None)
    if status.status != "running" or timed is None or timed.elapsed_s is None:
        return None
    left = max(0, status.total_steps - status.current_step)
    return int(clock.now().timestamp() + left * timed.elapsed_s / timed.step)
