"""What the index holds of one job, adapter or evaluation, read from its folder.

One entry's problem is its own: a file that cannot be read keeps the last good state and adds the reason as `problem`.
"""

import logging
import sys
from collections.abc import Callable
from datetime import datetime
from pathlib import Path
from typing import TypeVar

from msgspec import Struct

from runtime.server.newest import Key
from state import adapters, clock, evaluations, jobs
from state.adapters import Adapter
from state.errors import BrokenFile, NotFound
from state.evaluation_records import UNFINISHED, State
from state.evaluations import EvaluationFolder
from state.jobs import Job, JobFolder, Status
from state.root import DataRoot

Read = TypeVar("Read")

log = logging.getLogger(__name__)


class JobEntry(Struct, frozen=True, kw_only=True, gc=False):
    """One job as last read, without its examples. `model_name` is empty where job.json never could be read."""

    job_id: str
    path: str
    model_name: str
    adapter_name: str | None
    """The name that the job asks for its adapter."""
    suffix: str | None
    """What OpenAI's protocol asks to be in its name."""
    status: Status
    problem: str | None
    created_at: datetime
    stamp: int
    datasets: tuple[str, ...]
    """The data sets that it names, to train on and to be evaluated on."""
    metadata: dict[str, str] | None
    """By which OpenAI's clients list jobs: asking every job.json took seconds for 100,000."""

    @property
    def folder(self) -> JobFolder:
        return JobFolder(Path(self.path))

    @property
    def key(self) -> Key:
        return (self.created_at, self.job_id)

    @property
    def adapter(self) -> str | None:
        """The name that its adapter was given, or will be."""
        if self.status.adapter_name or self.adapter_name or not self.model_name:
            return self.status.adapter_name or self.adapter_name
        return jobs.default_adapter_name(self.model_name, self.job_id, self.suffix)

    @property
    def error_message(self) -> str | None:
        return self.problem or self.status.error_message


class AdapterEntry(Struct, frozen=True):
    adapter: Adapter
    stamp: int

    @property
    def key(self) -> Key:
        return (self.adapter.created_at, self.adapter.name)


class EvaluationEntry(Struct, frozen=True, kw_only=True, gc=False):
    """One evaluation; of one whose files cannot be read, no more than the problem."""

    evaluation_id: str
    path: str
    created_at: datetime
    stamp: int
    status: State | None = None
    adapter_name: str | None = None
    against: tuple[str, ...] = ()
    verdict: str | None = None
    problem: str | None = None

    @property
    def folder(self) -> EvaluationFolder:
        return EvaluationFolder(Path(self.path))

    @property
    def key(self) -> Key:
        return (self.created_at, self.evaluation_id)

    @property
    def is_unfinished(self) -> bool:
        return self.status in UNFINISHED


def read_job_entry(root: DataRoot, job_id: str, known: JobEntry | None) -> JobEntry | None:
    """The job as its files are now; where one cannot be read, as it was known, with the problem."""
    try:
        folder = jobs.find(root, job_id)
        stamp = jobs.stamp(str(folder.path))
        job, job_problem = _attempt(lambda: jobs.read_job(folder), folder.job_file)
        status, status_problem = _attempt(lambda: jobs.read_status(folder), folder.status_file)
        created_at = (job and job.created_at) or (known and known.created_at) or clock.changed(folder.path.stat())
    except (NotFound, FileNotFoundError):
        return None
    model_name = job.model_name if job else known.model_name if known else ""
    return JobEntry(
        job_id=sys.intern(job_id),
        path=str(folder.path),
        model_name=sys.intern(model_name),
        adapter_name=job.adapter_name if job else known.adapter_name if known else None,
        suffix=job.openai.suffix if job and job.openai else known.suffix if known else None,
        status=status or (known.status if known else Status()),
        problem=job_problem or status_problem,
        created_at=created_at,
        stamp=stamp,
        datasets=_datasets(job) if job else known.datasets if known else (),
        metadata=_metadata(job) if job else known.metadata if known else None,
    )


def _datasets(job: Job) -> tuple[str, ...]:
    return tuple(sys.intern(name) for name in dict.fromkeys((job.dataset_name, job.eval_dataset_name)) if name)


def _metadata(job: Job) -> dict[str, str] | None:
    """Of jobs by the same script the words are the same, and are kept once."""
    found = job.openai.metadata if job.openai else None
    return {sys.intern(key): sys.intern(value) for key, value in found.items()} if found else None


def read_adapter_entry(root: DataRoot, name: str) -> AdapterEntry | None:
    try:
        path = adapters.find(root, name)
        stamp = adapters.stamp(str(path))
        adapter, problem = _attempt(lambda: adapters.read(root, path), path)
        return AdapterEntry(adapter or adapters.unreadable(path, problem or ""), stamp)
    except (NotFound, FileNotFoundError):
        return None


def read_evaluation_entry(root: DataRoot, evaluation_id: str) -> EvaluationEntry | None:
    """Its verdict, of its results, is the first."""
    try:
        folder = evaluations.find(root, evaluation_id)
        path = str(folder.path)
        stamp = evaluations.stamp(path)
        found, problem = _attempt(lambda: _listed(folder, stamp), folder.path)
        if found is not None:
            return found
        created_at = clock.changed(folder.path.stat())
        return EvaluationEntry(
            evaluation_id=evaluation_id, path=path, created_at=created_at, stamp=stamp, problem=problem
        )
    except (NotFound, FileNotFoundError):
        return None


def _listed(folder: EvaluationFolder, stamp: int) -> EvaluationEntry:
    """Raises NotFound, BrokenFile."""
    evaluation, status = evaluations.read(folder), evaluations.read_status(folder).status
    results = evaluations.read_results(folder) if status == "completed" else None
    name, *against = [sys.intern(asked.name) for asked in evaluation.models]
    return EvaluationEntry(
        evaluation_id=folder.evaluation_id,
        path=str(folder.path),
        created_at=evaluation.created_at,
        stamp=stamp,
        status=status,
        adapter_name=name,
        against=tuple(against),
        verdict=results.verdicts[0].sentence if results else None,
    )


def _attempt(read: Callable[[], Read], path: Path) -> tuple[Read | None, str | None]:
    """What a file says, or what is wrong with it in words. Raises FileNotFoundError, NotFound."""
    try:
        return read(), None
    except (NotFound, FileNotFoundError):
        raise
    except BrokenFile as error:
        return None, str(error)
    except OSError as error:
        return None, f"{path.parent.name}/{path.name}: {error.strerror or error}"
    except Exception as error:
        log.exception("%s cannot be read", path)  # nobody foresaw it; all other entries go on
        return None, f"{path.parent.name}/{path.name}: cannot be read ({error})"
