"""What the folders say, held in memory, so that a listing costs no file access.

Who asks for one job or adapter hears what its files say now: a look at their times, and a reading where they changed.
Lists say what was read last. `runtime/server/watch.py` has changed entries read again: on file events, and by a slow
sweep. What ended costs nothing but memory, about 1.5 kB a job. Safe to call from several threads; no lock is held
while a file is read.
"""

import asyncio
from collections import Counter
from collections.abc import Iterable

from runtime.server.entries import (
    AdapterEntry,
    EvaluationEntry,
    JobEntry,
    read_adapter_entry,
    read_evaluation_entry,
    read_job_entry,
)
from runtime.server.kept import Kept
from runtime.server.newest import Key
from runtime.server.revisions import Revisions
from state import adapter_checkpoints, adapters, evaluations, jobs
from state.adapters import Adapter
from state.errors import Busy, NotFound
from state.jobs import JobState
from state.root import DataRoot

UNFINISHED: tuple[JobState, ...] = ("pending", "running")
"""Something may happen to such a job at any moment."""


class Index:
    """All jobs, adapters and evaluations of one data root."""

    def __init__(self, root: DataRoot) -> None:
        self._root = root
        self._jobs: Kept[JobEntry] = Kept(
            root.training_jobs,
            lambda: jobs.all_ids(root),
            lambda job_id, known: read_job_entry(root, job_id, known),
            lambda entry: jobs.stamp(entry.path),
            groups=lambda entry: (entry.status.status, *(("data", name) for name in entry.datasets)),
            changed=self._job_changed,
        )
        self._adapters: Kept[AdapterEntry] = Kept(
            root.adapters,
            lambda: adapters.all_names(root),
            lambda name, _: read_adapter_entry(root, name),
            lambda entry: adapters.stamp(str(entry.adapter.path)),
            groups=lambda entry: () if entry.adapter.job_id is None else (entry.adapter.job_id,),
            changed=lambda name, *_: self.revisions.note("adapters", name),
        )
        self._evaluations: Kept[EvaluationEntry] = Kept(
            root.evaluations,
            lambda: evaluations.all_ids(root),
            lambda evaluation_id, _: read_evaluation_entry(root, evaluation_id),
            lambda entry: evaluations.stamp(entry.path),
            groups=lambda entry: (("adapter", entry.adapter_name), ("unfinished", entry.is_unfinished)),
        )
        self.jobs_are_read = False
        """Whether every job has been read once; until then lists lack some."""
        self.adapters_are_read = False
        self.evaluations_are_read = False
        self.revisions = Revisions()
        """When which job or adapter came, changed or went."""
        self.ended: Counter[JobState] = Counter()
        """How many jobs have come to an end since it began, by the end."""
        self.steps_taken = 0
        self.tokens_trained = 0
        """Target tokens of the steps that were taken; of a step that was taken twice, because a trainer died, twice."""

    def job(self, job_id: str) -> JobEntry:
        """A job by its files as they are now. Raises NotFound."""
        entry = self._jobs.refresh(job_id)
        if entry is None:
            raise NotFound(f"Job {job_id} not found")
        return entry

    async def job_now(self, job_id: str) -> JobEntry:
        """`job` for the event loop: a look at the files' times is 5 us here and 100 in a thread; reading is for one.

        Raises NotFound.
        """
        known = self._jobs.known(job_id)
        return known if known is not None else await asyncio.to_thread(self.job, job_id)

    def jobs(
        self, status: JobState | None = None, after: Key | None = None, limit: int | None = None
    ) -> list[JobEntry]:
        """Jobs, the newest first: of one status, those that come after `after`, and not more than `limit`."""
        return self._jobs.page(status, after, limit)

    def jobs_with_data(self, dataset_name: str, after: Key | None = None, limit: int | None = None) -> list[JobEntry]:
        """Jobs that name this data set, to be trained or evaluated on; else as `jobs`."""
        return self._jobs.page(("data", dataset_name), after, limit)

    def count_jobs_with_data(self, dataset_name: str) -> int:
        return self._jobs.count(("data", dataset_name))

    def known_jobs(self, ids: Iterable[str]) -> list[JobEntry]:
        """Those of these jobs that there are, as last read."""
        return self._jobs.those(ids)

    def count_jobs(self, status: JobState | None = None) -> int:
        return self._jobs.count(status)

    def count(self) -> int:
        """Entries of all kinds."""
        return self._jobs.count() + self._adapters.count() + self._evaluations.count()

    @property
    def has_unfinished(self) -> bool:
        return any(self._jobs.count(state) for state in UNFINISHED)

    def unfinished(self) -> list[JobEntry]:
        """The jobs that wait or run, the oldest first. It costs what they are, however many have ended."""
        return sorted(self._jobs.of(UNFINISHED), key=lambda entry: entry.key)

    def claimant(self, adapter_name: str) -> str | None:
        """The id of the job, not done yet, that will make an adapter of this name; None where there is none.

        Raises Busy until every job has been read.
        """
        if not self.jobs_are_read:
            raise Busy("The job folders are still being read: try again in a moment")
        waiting = self._jobs.of((*UNFINISHED, "paused"))
        return next((entry.job_id for entry in waiting if entry.adapter_name == adapter_name), None)

    def adapter(self, name: str) -> Adapter:
        """An adapter by its files as they are now. Raises NotFound."""
        entry = self._adapters.refresh(name)
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
        return [entry.adapter for entry in self._adapters.page(limit=limit)]

    def count_adapters(self) -> int:
        return self._adapters.count()

    def known_adapters(self, names: Iterable[str]) -> list[Adapter]:
        """Those of these adapters that there are, as last read."""
        return [entry.adapter for entry in self._adapters.those(names)]

    def evaluations(self, adapter_name: str | None = None) -> list[EvaluationEntry]:
        """Evaluations, the newest first: all, or those of one adapter."""
        return self._evaluations.page(None if adapter_name is None else ("adapter", adapter_name))

    def unfinished_evaluations(self) -> list[EvaluationEntry]:
        """Those that wait or run, the oldest first. It costs what they are, however many have ended."""
        return self._evaluations.page(("unfinished", True))[::-1]

    def adapters_of(self, entry: JobEntry) -> list[str]:
        """The adapters that a job has made, by the names that they have now, the newest first."""
        if entry.status.adapter_name is not None:
            self.refresh_adapter(entry.status.adapter_name)
        return [found.adapter.name for found in self._adapters.page(entry.job_id)]

    def job_ids(self) -> set[str]:
        """The jobs that are known, and whatever else in `training_jobs/` may be one."""
        return self._jobs.ids()

    def adapter_names(self) -> set[str]:
        return self._adapters.ids()

    def evaluation_ids(self) -> set[str]:
        return self._evaluations.ids()

    def refresh_job(self, job_id: str) -> JobEntry | None:
        """Read one job's files again, if they changed. None where there is no such job."""
        return self._jobs.refresh(job_id)

    def refresh_adapter(self, name: str) -> None:
        """Read one adapter's files again, if they changed."""
        self._adapters.refresh(name)

    def refresh_evaluation(self, evaluation_id: str) -> EvaluationEntry | None:
        """Read one evaluation's files again, if they changed. None where there is no such evaluation."""
        return self._evaluations.refresh(evaluation_id)

    def _job_changed(self, job_id: str, before: JobEntry | None, now: JobEntry | None) -> None:
        self.revisions.note("jobs", job_id)
        if before is None or now is None:
            return
        self.steps_taken += max(0, now.status.current_step - before.status.current_step)
        self.tokens_trained += max(0, now.status.tokens - before.status.tokens)
        if now.status.status in jobs.FINISHED and before.status.status not in jobs.FINISHED:
            self.ended[now.status.status] += 1
