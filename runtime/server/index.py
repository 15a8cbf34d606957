"""What the folders say, held in memory, so that a listing costs no file access.

Who asks for one job or adapter hears what its files say now: a look at their times, and a reading where they changed.
Lists say what was read last. `runtime/server/watch.py` has changed entries read again: on file events, and by a slow
sweep. What ended costs nothing but memory, about 1.5 kB a job. Safe to call from several threads; no lock is held
while a file is read.

One entry's problem is its own: a file that cannot be read keeps the last good state and adds the reason as `problem`.
"""

import asyncio
import logging
import sys
import threading
from collections import Counter, defaultdict
from collections.abc import Callable, Iterable
from datetime import datetime
from pathlib import Path
from typing import TypeVar

from msgspec import Struct, structs

from runtime.server.listing import Listing
from runtime.server.newest import Key, Newest
from runtime.server.revisions import Revisions
from state import adapter_checkpoints, adapters, clock, jobs
from state.adapters import Adapter
from state.errors import BrokenFile, Busy, NotFound
from state.jobs import Job, JobFolder, JobState, Status
from state.root import DataRoot

UNFINISHED: tuple[JobState, ...] = ("pending", "running")
"""Something may happen to such a job at any moment."""

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


class Index:
    """All jobs and adapters of one data root."""

    def __init__(self, root: DataRoot) -> None:
        self._root = root
        self._lock = threading.Lock()
        self._jobs: dict[str, JobEntry] = {}
        self._all_jobs = Newest()
        self._jobs_by_state: dict[JobState, Newest] = {state: Newest() for state in (*UNFINISHED, *jobs.AT_REST)}
        self._jobs_by_dataset: defaultdict[str, Newest] = defaultdict(Newest)
        self._adapters: dict[str, AdapterEntry] = {}
        self._all_adapters = Newest()
        self._adapters_by_job: defaultdict[str, Newest] = defaultdict(Newest)
        self._listed_jobs = Listing(root.training_jobs, lambda: jobs.all_ids(root))
        self._listed_adapters = Listing(root.adapters, lambda: adapters.all_names(root))
        self.jobs_are_read = False
        """Whether every job has been read once; until then lists lack some."""
        self.adapters_are_read = False
        self.revisions = Revisions()
        """When which entry came, changed or went."""
        self.ended: Counter[JobState] = Counter()
        """How many jobs have come to an end since it began, by the end."""
        self.steps_taken = 0

    def job(self, job_id: str) -> JobEntry:
        """A job by its files as they are now. Raises NotFound."""
        entry = self.refresh_job(job_id)
        if entry is None:
            raise NotFound(f"Job {job_id} not found")
        return entry

    async def job_now(self, job_id: str) -> JobEntry:
        """`job` for the event loop: a look at the files' times is 5 us here and 100 in a thread; reading is for one.

        Raises NotFound.
        """
        known = self._jobs.get(job_id)
        if known is not None and jobs.stamp(known.path) == known.stamp:
            return known
        return await asyncio.to_thread(self.job, job_id)

    def jobs(
        self, status: JobState | None = None, after: Key | None = None, limit: int | None = None
    ) -> list[JobEntry]:
        """Jobs, the newest first: of one status, those that come after `after`, and not more than `limit`."""
        with self._lock:
            listed = self._all_jobs if status is None else self._jobs_by_state[status]
            return [self._jobs[job_id] for job_id in listed.page(after, limit)]

    def jobs_with_data(self, dataset_name: str, after: Key | None = None, limit: int | None = None) -> list[JobEntry]:
        """Jobs that name this data set, to be trained or evaluated on; else as `jobs`."""
        with self._lock:
            listed = self._jobs_by_dataset.get(dataset_name)
            return [self._jobs[job_id] for job_id in listed.page(after, limit)] if listed else []

    def count_jobs_with_data(self, dataset_name: str) -> int:
        return len(self._jobs_by_dataset.get(dataset_name, ()))

    def known_jobs(self, ids: Iterable[str]) -> list[JobEntry]:
        """Those of these jobs that there are, as last read."""
        with self._lock:
            return [self._jobs[job_id] for job_id in ids if job_id in self._jobs]

    def count_jobs(self, status: JobState | None = None) -> int:
        return len(self._all_jobs if status is None else self._jobs_by_state[status])

    def count(self) -> int:
        """Jobs and adapters."""
        return len(self._all_jobs) + self.count_adapters()

    @property
    def has_unfinished(self) -> bool:
        return any(len(self._jobs_by_state[state]) for state in UNFINISHED)

    def unfinished(self) -> list[JobEntry]:
        """The jobs that wait or run, the oldest first. It costs what they are, however many have ended."""
        return sorted(self._of_states(*UNFINISHED), key=lambda entry: entry.key)

    def claimant(self, adapter_name: str) -> str | None:
        """The id of the job, not done yet, that will make an adapter of this name; None where there is none.

        Raises Busy until every job has been read.
        """
        if not self.jobs_are_read:
            raise Busy("The job folders are still being read: try again in a moment")
        waiting = self._of_states(*UNFINISHED, "paused")
        return next((entry.job_id for entry in waiting if entry.adapter_name == adapter_name), None)

    def _of_states(self, *states: JobState) -> list[JobEntry]:
        with self._lock:
            return [self._jobs[job_id] for state in states for job_id in self._jobs_by_state[state].page()]

    def adapter(self, name: str) -> Adapter:
        """An adapter by its files as they are now. Raises NotFound."""
        entry = self._refreshed_adapter(name)
        if entry is None:
            raise NotFound(f"Adapter {name} not found")
        return entry.adapter

    def answering_adapter(self, name: str) -> Adapter:
        """An adapter, or by a name of its own one as it was at an epoch's end, which only answers. Raises NotFound."""
        if adapter_checkpoints.MARK in name:
            return adapter_checkpoints.find(self._root, name)
        return self.adapter(name)

    def adapters(self, limit: int | None = None) -> list[Adapter]:
        """Adapters, the newest first, and not more than `limit`."""
        with self._lock:
            return [self._adapters[name].adapter for name in self._all_adapters.page(limit=limit)]

    def count_adapters(self) -> int:
        return len(self._all_adapters)

    def known_adapters(self, names: Iterable[str]) -> list[Adapter]:
        """Those of these adapters that there are, as last read."""
        with self._lock:
            return [self._adapters[name].adapter for name in names if name in self._adapters]

    def adapters_of(self, entry: JobEntry) -> list[str]:
        """The adapters that a job has made, by the names that they have now, the newest first."""
        if entry.status.adapter_name is not None:
            self.refresh_adapter(entry.status.adapter_name)
        with self._lock:
            listed = self._adapters_by_job.get(entry.job_id)
            return listed.page() if listed else []

    def job_ids(self) -> set[str]:
        """The jobs that are known, and whatever else in `training_jobs/` may be one."""
        return self._listed_jobs.others(self._jobs) | set(self._jobs)

    def adapter_names(self) -> set[str]:
        return self._listed_adapters.others(self._adapters) | set(self._adapters)

    def refresh_job(self, job_id: str) -> JobEntry | None:
        """Read one job's files again, if they changed. None where there is no such job."""
        while True:
            known = self._jobs.get(job_id)
            if known is not None and jobs.stamp(known.path) == known.stamp:
                return known
            newest = _read_job(self._root, job_id, known)
            if self._keep_job(job_id, known, newest):
                return newest

    def refresh_adapter(self, name: str) -> None:
        """Read one adapter's files again, if they changed."""
        self._refreshed_adapter(name)

    def _refreshed_adapter(self, name: str) -> AdapterEntry | None:
        while True:
            known = self._adapters.get(name)
            if known is not None and adapters.stamp(str(known.adapter.path)) == known.stamp:
                return known
            newest = _read_adapter(self._root, name)
            if self._keep_adapter(name, known, newest):
                return newest

    def _keep_job(self, job_id: str, known: JobEntry | None, newest: JobEntry | None) -> bool:
        """Put a reading in the place of the one before; not if somebody else has read the job meanwhile."""
        with self._lock:
            if self._jobs.get(job_id) is not known:
                return False
            if _says(known) != _says(newest):
                self.revisions.note("jobs", job_id)
            if known is not None:
                self._all_jobs.remove(known.key)
                self._jobs_by_state[known.status.status].remove(known.key)
                for name in known.datasets:
                    _leave(self._jobs_by_dataset, name, known.key)
            if newest is None:
                self._jobs.pop(job_id, None)
            else:
                if known is not None:
                    self._count(known.status, newest.status)
                self._jobs[job_id] = newest
                self._all_jobs.add(newest.key)
                self._jobs_by_state[newest.status.status].add(newest.key)
                for name in newest.datasets:
                    self._jobs_by_dataset[name].add(newest.key)
            return True

    def _count(self, before: Status, now: Status) -> None:
        self.steps_taken += max(0, now.current_step - before.current_step)
        if now.status in jobs.FINISHED and before.status not in jobs.FINISHED:
            self.ended[now.status] += 1

    def _keep_adapter(self, name: str, known: AdapterEntry | None, newest: AdapterEntry | None) -> bool:
        with self._lock:
            if self._adapters.get(name) is not known:
                return False
            if _says(known) != _says(newest):
                self.revisions.note("adapters", name)
            if known is not None:
                self._all_adapters.remove(known.key)
                if known.adapter.job_id is not None:
                    _leave(self._adapters_by_job, known.adapter.job_id, known.key)
            if newest is None:
                self._adapters.pop(name, None)
            else:
                self._adapters[name] = newest
                self._all_adapters.add(newest.key)
                if newest.adapter.job_id is not None:
                    self._adapters_by_job[newest.adapter.job_id].add(newest.key)
            return True


def _leave(groups: dict[str, Newest], name: str, key: Key) -> None:
    """Take an entry out of its group, and a group that is empty away."""
    groups[name].remove(key)
    if not len(groups[name]):
        del groups[name]


def _says(entry: JobEntry | AdapterEntry | None) -> JobEntry | AdapterEntry | None:
    """An entry whenever it was read: a file that was changed just now is read twice."""
    return None if entry is None else structs.replace(entry, stamp=0)


def _read_job(root: DataRoot, job_id: str, known: JobEntry | None) -> JobEntry | None:
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


def _read_adapter(root: DataRoot, name: str) -> AdapterEntry | None:
    try:
        path = adapters.find(root, name)
        stamp = adapters.stamp(str(path))
        adapter, problem = _attempt(lambda: adapters.read(root, path), path)
        return AdapterEntry(adapter or adapters.unreadable(path, problem or ""), stamp)
    except (NotFound, FileNotFoundError):
        return None


def _attempt(read: Callable[[], Read], path: Path) -> tuple[Read | None, str | None]:
    """What a file says, or what is wrong with it in words. Raises FileNotFoundError."""
    try:
        return read(), None
    except FileNotFoundError:
        raise
    except BrokenFile as error:
        return None, str(error)
    except OSError as error:
        return None, f"{path.parent.name}/{path.name}: {error.strerror or error}"
    except Exception as error:
        log.exception("%s cannot be read", path)  # nobody foresaw it; all other entries go on
        return None, f"{path.parent.name}/{path.name}: cannot be read ({error})"
