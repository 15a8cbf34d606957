"""GET /api/training/jobs/{job_id}: one job: where it stands, and the settings that it has."""

from typing import Any

import msgspec
from litestar import get
from litestar.di import NamedDependency
from litestar.params import FromPath
from msgspec import structs

from handlers.training.jobs.row import DetailedJob, detailed
from handlers.training.status import adapter_path
from runtime.server.service import Service
from state import adapters, jobs, store
from state.adapters import AdapterRecord
from state.errors import BrokenFile
from state.jobs import JobFolder, Remedy

TEXTS = ("train_texts", "eval_texts")
"""Of a job.json that was written by hand: they may be many megabytes."""


class JobReply(DetailedJob, kw_only=True):
    """`error_message` is whole. The settings are null where a file cannot be read, which it then says."""

    path: str
    adapter_path: str | None
    learning_rate: float | None
    stopped_early: str | None
    remedy: Remedy | None
    """Of a job that failed for want of memory: with what it would fit, or may, by names of `start`'s fields."""
    adapters: list[str]
    """Those in `adapters/` that it has made, by the names that they have now."""
    resumed_from_step: int | None
    """The checkpoint that its newest run went on from; null where that began at the beginning."""
    written: dict[str, Any] | None
    """job.json as it is, without its texts."""
    config: dict[str, Any] | None
    """The same with all defaults filled in."""
    resolved: dict[str, Any] | None
    """What became of the settings in the training, from the record of its adapter; null before there is one."""


@get("/training/jobs/{job_id:str}", opt={"action": "get training job"}, sync_to_thread=True)
def show_job(job_id: FromPath[str], service: NamedDependency[Service]) -> JobReply:
    entry = service.index.job(job_id)
    row = structs.asdict(detailed(service, [entry])[0])
    row["error_message"] = entry.error_message or service.queue.obstacle(job_id)
    written, config = _settings(entry.folder)
    return JobReply(
        **row,
        path=service.root.shown(entry.path),
        adapter_path=adapter_path(service, entry),
        learning_rate=entry.status.learning_rate,
        stopped_early=entry.status.stopped_early,
        remedy=entry.status.remedy,
        adapters=service.index.adapters_of(entry),
        resumed_from_step=entry.status.attempt_step or None,
        written=written,
        config=config,
        resolved=_resolved(entry.folder),
    )


def _settings(folder: JobFolder) -> tuple[dict[str, Any] | None, dict[str, Any] | None]:
    try:
        written, job = store.read_as_written(folder.job_file), jobs.read_job(folder)
    except (BrokenFile, FileNotFoundError):
        return None, None
    if job.init_adapter is None:
        job = structs.replace(job, lora_config=job.lora)
    config = msgspec.to_builtins(job)
    return _without_texts(written), _without_texts(config)


def _without_texts(settings: dict[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in settings.items() if name not in TEXTS}


def _resolved(folder: JobFolder) -> dict[str, Any] | None:
    try:
        return store.read(folder.adapter / adapters.RECORD, AdapterRecord).training_config
    except (BrokenFile, FileNotFoundError):
        return None
