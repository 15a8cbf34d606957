"""What the folders say, held in memory, so that a listing costs no file access.

Entries are refreshed from the files: after the service's own writes, on file events (`runtime/server/watch.py`), and by
a slow rescan that catches what the kernel dropped. A file that cannot be read keeps the last good state and adds the
reason as `problem`. Safe to call from several threads.
"""

import threading
from datetime import UTC, datetime
from pathlib import Path

from msgspec import Struct

from state import adapters, jobs
from state.errors import BrokenFile, NotFound
from state.root import DataRoot

Stamp = tuple[tuple[str, int, int], ...]


class JobEntry(Struct, frozen=True, kw_only=True):
    """One job as last read. `job` is None when job.json never could be read."""

    folder: jobs.JobFolder
    job: jobs.Job | None
    status: jobs.Status
    problem: str | None
    created_at: datetime
    stamp: Stamp

    @property
    def job_id(self) -> str:
        return self.folder.job_id

    @property
    def model_name(self) -> str:
        return self.job.model_name if self.job else ""

    @property
    def error_message(self) -> str | None:
        return self.problem or self.status.error_message


class Index:
    """All jobs and adapters of one data root."""

    def __init__(self, root: DataRoot) -> None:
        self._root = root
        self._jobs: dict[str, JobEntry] = {}
        self._unfinished: dict[str, JobEntry] = {}
        self._adapters: dict[str, tuple[Stamp, adapters.Adapter]] = {}
        self._lock = threading.RLock()

    def job(self, job_id: str) -> JobEntry:
        """Raises NotFound."""
        entry = self._jobs.get(job_id)
        if entry is None:
            raise NotFound(f"Job {job_id} not found")
        return entry

    def jobs(self) -> list[JobEntry]:
        """All jobs, the oldest first."""
        return sorted(self._jobs.values(), key=lambda entry: (entry.created_at, entry.job_id))

    def unfinished(self) -> list[JobEntry]:
        """The jobs that wait or run, the oldest first. It costs what they are, however many have ended."""
        with self._lock:
            found = list(self._unfinished.values())
        return sorted(found, key=lambda entry: (entry.created_at, entry.job_id))

    def claimant(self, adapter_name: str) -> str | None:
        """The id of the job, not done yet, that will make an adapter of this name; None where there is none."""
        for entry in self.unfinished():
            if entry.job is not None and entry.job.adapter_name == adapter_name:
                return entry.job_id
        return None

    def adapter(self, name: str) -> adapters.Adapter:
        """Raises NotFound."""
        found = self._adapters.get(name)
        if found is None:
            raise NotFound(f"Adapter {name} not found")
        return found[1]

    def adapters(self) -> list[adapters.Adapter]:
        """All adapters, the newest first."""
        found = [adapter for _, adapter in list(self._adapters.values())]
        return sorted(found, key=lambda adapter: (adapter.created_at, adapter.name), reverse=True)

    def rescan(self) -> None:
        """Read what is new or changed in both folders and forget what is gone."""
        for name in {path.name for path in adapters.all_folders(self._root)} | set(self._adapters):
            self.refresh_adapter(name)
        present = {folder.job_id for folder in jobs.all_folders(self._root)}
        for job_id in present | set(self._jobs):
            self.refresh_job(job_id)

    def refresh_job(self, job_id: str) -> None:
        """Read one job's files again, if they changed."""
        with self._lock:
            try:
                folder = jobs.find(self._root, job_id)
                stamp = _stamp(folder.path, "job.json", "status.json")
                known = self._jobs.get(job_id)
                if known is None or known.stamp != stamp or known.folder != folder:
                    self._keep(_read_job(folder, stamp, known))
            except (NotFound, FileNotFoundError):
                self._jobs.pop(job_id, None)
                self._unfinished.pop(job_id, None)

    def _keep(self, entry: JobEntry) -> None:
        self._jobs[entry.job_id] = entry
        if entry.status.status in jobs.FINISHED:
            self._unfinished.pop(entry.job_id, None)
        else:
            self._unfinished[entry.job_id] = entry

    def refresh_adapter(self, name: str) -> None:
        """Read one adapter's files again, if they changed."""
        with self._lock:
            try:
                path = adapters.find(self._root, name)
                stamp = _stamp(path, ".", adapters.CONFIG, adapters.WEIGHTS, adapters.RECORD)
                known = self._adapters.get(name)
                if known is None or known[0] != stamp:
                    self._adapters[name] = (stamp, adapters.read(self._root, path))
            except (NotFound, FileNotFoundError):
                self._adapters.pop(name, None)


def _read_job(folder: jobs.JobFolder, stamp: Stamp, known: JobEntry | None) -> JobEntry:
    problem = None
    job = known.job if known else None
    status = known.status if known else jobs.Status()
    try:
        job = jobs.read_job(folder)
    except BrokenFile as error:
        problem = str(error)
    try:
        status = jobs.read_status(folder)
    except BrokenFile as error:
        problem = problem or str(error)
    created_at = job.created_at if job else None
    return JobEntry(
        folder=folder,
        job=job,
        status=status,
        problem=problem,
        created_at=created_at or datetime.fromtimestamp(folder.job_file.stat().st_mtime, UTC),
        stamp=stamp,
    )


def _stamp(folder: Path, *names: str) -> Stamp:
    """What changes whenever one of the files does. An absent file is part of the answer."""
    found = []
    for name in names:
        try:
            stat = (folder / name).stat()
        except FileNotFoundError:
            continue
        found.append((name, stat.st_ino, stat.st_mtime_ns))
    return tuple(found)
