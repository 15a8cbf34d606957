"""A training job is a folder, `training_jobs/job_<id>/`. This module knows the names and records in it.

    job.json          what to do; written once by the API, or by hand; editable until the job starts
    data/train.jsonl  the job's own copy of its rows (docs/data.md), one a line; data/eval.jsonl likewise
    init_adapter/     the job's own copy of the adapter that it goes on from (state/initial_adapters.py)
    data/tokens/      the trainer's: the rows as tokens; made again when it is removed
    status.json       where it stands; its owner is whoever holds trainer.lock
    metrics.jsonl     one line a log step
    samples.jsonl     the answers to the job's sample prompts, one a line
    reports/          what `report_to` needs and makes (state/report_to.py)
    train.log         the trainer's stdout and stderr
    stop              exists = please stop
    pause             exists = please stop, and wait until somebody resumes
    checkpoints/      step-<n>/, enough to go on from; best-<n>/, the adapter of the lowest evaluation loss;
                      epoch-<n>/, the adapter of an epoch's end
    adapter/          the finished adapter, in PEFT's own layout
    trainer.lock      held by a trainer for as long as it lives

A folder is complete or absent: it is built under a hidden name and renamed in.
"""

import errno
from datetime import datetime
from pathlib import Path
from typing import Annotated, Literal

from msgspec import Meta, Struct, structs

from state import chat_templates, clock, folders, locks, names, stamps, store
from state.config import LoraConfig, TrainingConfig
from state.errors import NotFound, ServiceError
from state.openai_view import OpenAIView
from state.report_to import ReportTo
from state.root import DataRoot
from state.samples import DEFAULT_SAMPLE_TOKENS, SamplePrompts, SampleTokens

VERSION = 1
PREFIX = "job_"

JobState = Literal["pending", "running", "paused", "completed", "failed", "cancelled"]
DISK_FULL = (errno.ENOSPC, errno.EDQUOT)
FINISHED: frozenset[JobState] = frozenset({"completed", "failed", "cancelled"})
AT_REST: frozenset[JobState] = FINISHED | {"paused"}
"""Nothing happens to such a job until somebody asks for it."""
TRAINER_END_S = 5.0  # a trainer that has just written its job's end still holds its lock for a moment

Remedy = dict[str, int]
"""Settings by their names in a request (`training_config.max_seq_length`), with which a job takes less memory."""

_STAMPED = ("job.json", "status.json")


class Job(Struct, forbid_unknown_fields=True, frozen=True, kw_only=True):
    """job.json. Only `model_name` is required of a hand-made one."""

    version: Annotated[int, Meta(ge=1, le=VERSION)] = VERSION
    job_id: str | None = None
    model_name: Annotated[str, Meta(min_length=1)]
    adapter_name: str | None = None
    description: str = ""
    dataset_name: str | None = None
    train_texts: list[str] | None = None
    eval_texts: list[str] | None = None
    eval_dataset_name: str | None = None
    init_adapter: str | None = None
    """The adapter that the training goes on from."""
    lora_config: LoraConfig | None = None
    """Left out: that of `init_adapter`, else the defaults."""
    training_config: TrainingConfig = TrainingConfig()
    sample_prompts: SamplePrompts | None = None
    sample_tokens: SampleTokens = DEFAULT_SAMPLE_TOKENS
    seed: Annotated[int, Meta(ge=0, lt=2**32)] = 42
    output_dir: str | None = None
    chat_template: chat_templates.Source | None = None
    """Left out: the model's own."""
    created_at: datetime | None = None
    data_sha256: str | None = None
    """Of the rows that it is trained on, and below of those that it is evaluated on, as they were when it was created
    (state/rows/tally.py)."""
    eval_sha256: str | None = None
    report_to: ReportTo = []
    """Where its figures are shown, too."""
    openai: OpenAIView | None = None
    """Of a job that was started in OpenAI's protocol."""

    @property
    def today(self) -> datetime:
        """What a chat template is told that writes a date: the job's own day, whenever it is resumed."""
        return self.created_at or clock.now()

    @property
    def lora(self) -> LoraConfig:
        """Its own settings, or the defaults."""
        return self.lora_config or LoraConfig()


class Losses(Struct, frozen=True, gc=False):
    """The newest figures; None where there is none yet, or where it is not a number."""

    train_loss: float | None = None
    eval_loss: float | None = None


class Status(Struct, frozen=True, kw_only=True, gc=False):
    """status.json. Steps are optimizer steps; `progress` is in percent."""

    version: int = VERSION
    status: JobState = "pending"
    progress: float = 0.0
    current_step: int = 0
    total_steps: int = 0
    current_loss: float | None = None
    learning_rate: float | None = None
    metrics: Losses = Losses()
    epoch: float | None = None
    tokens: int = 0
    """Target tokens of the steps up to `current_step`."""
    tokens_per_second: float | None = None
    """Of the newest log line, as the next one."""
    memory_mb: float | None = None
    planned_memory_mb: float | None = None
    """What the newest attempt foresees to take at most, in 2^20 bytes; None before it knows."""
    ends_at: datetime | None = None
    """When a running job will have taken its last step, if it goes on as it went lately."""
    started_at: datetime | None = None
    completed_at: datetime | None = None
    error_message: str | None = None
    remedy: Remedy | None = None
    """Of a job that failed for want of memory: what to change, where that is known."""
    message: str | None = None
    """What is done while no step is taken, and how far that is; else why `report_to` is not served."""
    stopped_early: str | None = None
    """Why a completed run has fewer steps than `total_steps`; None where it has all."""
    pid: int | None = None
    accelerator: str | None = None
    """The CUDA_VISIBLE_DEVICES of the newest trainer; None where it had none."""
    attempt: int = 0
    """Starts since the last checkpoint that was new: a job that dies over and over without progress is given up."""
    attempt_step: int = 0
    """The checkpoint's step that the running attempt began from."""
    adapter_name: str | None = None
    """The name under which the adapter was published."""
    data_sha256: str | None = None
    """Of the rows that its steps were trained on, and of those that it is evaluated on."""
    eval_sha256: str | None = None


class JobFolder(Struct, frozen=True):
    """The names inside one job's folder."""

    path: Path

    @property
    def job_id(self) -> str:
        return self.path.name.removeprefix(PREFIX)

    @property
    def job_file(self) -> Path:
        return self.path / "job.json"

    @property
    def status_file(self) -> Path:
        return self.path / "status.json"

    @property
    def train_file(self) -> Path:
        return self.path / "data" / "train.jsonl"

    @property
    def eval_file(self) -> Path:
        return self.path / "data" / "eval.jsonl"

    @property
    def init_adapter(self) -> Path:
        """The copy of the adapter that the job goes on from."""
        return self.path / "init_adapter"

    @property
    def tokens(self) -> Path:
        """The rows as the trainer's tokens."""
        return self.path / "data" / "tokens"

    @property
    def metrics_file(self) -> Path:
        return self.path / "metrics.jsonl"

    @property
    def samples_file(self) -> Path:
        return self.path / "samples.jsonl"

    @property
    def reports(self) -> Path:
        return self.path / "reports"

    @property
    def log_file(self) -> Path:
        return self.path / "train.log"

    @property
    def stop_file(self) -> Path:
        return self.path / "stop"

    @property
    def pause_file(self) -> Path:
        return self.path / "pause"

    @property
    def checkpoints(self) -> Path:
        return self.path / "checkpoints"

    def checkpoint(self, step: int) -> Path:
        return self.checkpoints / f"step-{step}"

    def checkpoint_steps(self) -> list[int]:
        """The steps that have a checkpoint, in no particular order."""
        return self._steps_of("step-")

    def best_steps(self) -> list[int]:
        """The steps whose adapter is kept as the best of its time."""
        return self._steps_of("best-")

    def epoch_steps(self) -> list[int]:
        """The steps at epochs' ends whose adapters are kept."""
        return self._steps_of("epoch-")

    def _steps_of(self, prefix: str) -> list[int]:
        steps = [path.name.removeprefix(prefix) for path in self.checkpoints.glob(f"{prefix}*")]
        return [int(step) for step in steps if step.isdigit()]

    def newest_checkpoint(self) -> int:
        """Its step; 0 without one."""
        return max(self.checkpoint_steps(), default=0)

    def best(self, step: int) -> Path:
        """Where the adapter of step `step` is kept, whose evaluation loss was the lowest by then."""
        return self.checkpoints / f"best-{step}"

    def epoch(self, step: int) -> Path:
        """Where the adapter of step `step` is kept, which was the last of an epoch."""
        return self.checkpoints / f"epoch-{step}"

    @property
    def adapter(self) -> Path:
        return self.path / "adapter"

    @property
    def reserve(self) -> Path:
        return self.path / ".reserve"

    @property
    def publishing(self) -> Path:
        """There while the trainer publishes its adapter; after a kill meanwhile, until the next attempt begins."""
        return self.path / ".publishing"

    @property
    def trainer_lock(self) -> Path:
        return self.path / "trainer.lock"

    def is_training(self) -> bool:
        """Whether a trainer lives in this folder, launched by whomever."""
        return locks.is_held(self.trainer_lock)


def patience_s(folder: JobFolder) -> float:
    """How long to wait for the lock of a trainer: one that has written its job's end is about to release it."""
    return TRAINER_END_S if read_status(folder).status in AT_REST else 0


def remove(folder: JobFolder) -> None:
    """Remove a finished job's folder: gone from every list in one rename, then its bytes.

    Raises ServiceError while the job waits or runs.
    """
    try:
        with locks.hold(folder.trainer_lock, patience_s(folder)):
            status = read_status(folder).status
            if status not in FINISHED:
                raise ServiceError(f"Job {folder.job_id} is {status}: stop it before deleting it")
            folders.vanish(folder.path)
    except locks.LockHeld:
        raise ServiceError(f"Job {folder.job_id} is running: stop it before deleting it") from None


def all_ids(root: DataRoot) -> set[str]:
    """The id of everything in `training_jobs/` that could be a job's folder; `find` tells whether it is one.

    It costs one listing of the folder: 0.1 s for 100,000 jobs.
    """
    return {name.removeprefix(PREFIX) for name in folders.names_in(root.training_jobs) if names.is_valid(name)}


def find(root: DataRoot, job_id: str) -> JobFolder:
    """The folder of a job: one with a job.json, readable or not. `job_x` hides a second folder `x` of the same id.

    Raises NotFound.
    """
    for name in (f"{PREFIX}{job_id}", job_id):
        if names.is_valid(name) and name.removeprefix(PREFIX) == job_id:
            folder = JobFolder(root.training_jobs / name)
            if folders.has(folder.path, "job.json") and root.holds_entry(folder.path):
                return folder
    raise NotFound(f"Job {job_id} not found")


def stamp(folder: str) -> int:
    """Another number whenever job.json or status.json is another (`state/stamps.py`)."""
    return stamps.of(folder, _STAMPED)


def read_job(folder: JobFolder) -> Job:
    """What to do. `created_at` of a hand-made job is the file's own time. Raises FileNotFoundError, BrokenFile."""
    job = store.read(folder.job_file, Job)
    if job.created_at is None:
        return structs.replace(job, created_at=clock.changed(folder.job_file.stat()))
    return structs.replace(job, created_at=clock.aware(job.created_at))


def read_status(folder: JobFolder) -> Status:
    """Where it stands; a folder without status.json waits to be run. Raises BrokenFile."""
    try:
        return store.read(folder.status_file, Status)
    except FileNotFoundError:
        return Status()


def write_status(folder: JobFolder, status: Status) -> Status:
    """Replace status.json. Only for its owner, the holder of trainer.lock: what it read before is still so.

    On a full disk the folder's reserve is given up for it: a job that ends for want of room can still say so.
    """
    try:
        store.write(folder.status_file, status)
    except OSError as error:
        if error.errno not in DISK_FULL or not folder.reserve.exists():
            raise
        folder.reserve.unlink()
        store.write(folder.status_file, status)
    return status


def adapter_name(folder: JobFolder, job: Job) -> str:
    """The name that the adapter will have: the job's own, or the model's with the first 8 characters of the id."""
    suffix = job.openai.suffix if job.openai else None
    return job.adapter_name or default_adapter_name(job.model_name, folder.job_id, suffix)


def shorter(max_seq_length: int | None) -> Remedy | None:
    """The remedy that rows be cut at so many tokens; None where that is no length for a row."""
    if max_seq_length is None or max_seq_length < 2:
        return None
    return {"training_config.max_seq_length": max_seq_length}


def default_adapter_name(model_name: str, job_id: str, suffix: str | None = None) -> str:
    base = _as_name(model_name.rstrip("/").rsplit("/", 1)[-1])
    if suffix is not None:
        return f"{base.lstrip('._-')[:40] or 'adapter'}-{_as_name(suffix)[:40]}-{job_id[:8]}"
    return f"{base.lstrip('._-')[:80] or 'adapter'}-{job_id[:8]}"


def _as_name(text: str) -> str:
    return "".join(letter if (letter.isalnum() and letter.isascii()) or letter in "._-" else "-" for letter in text)
