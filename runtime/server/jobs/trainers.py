"""The trainers that live: those that this server has launched, and those that a server before it or a person has.

A trainer is known by evidence: a launched one by its process, any other by `trainer.lock`, which it holds for as long
as it lives.
"""

import os
import signal
import subprocess
import threading
import time
from collections.abc import Iterable
from contextlib import suppress

import psutil
from msgspec import Struct

from runtime.server.entries import JobEntry
from runtime.server.jobs.accelerators import Accelerators
from runtime.server.jobs.launch import Launcher
from state import jobs
from state.errors import BrokenFile
from state.jobs import JobFolder


class Child(Struct, frozen=True):
    """A trainer that this server has launched."""

    process: subprocess.Popen[bytes]
    accelerator: str | None
    launched_s: float


class Ended(Struct, frozen=True):
    """A child that is gone."""

    job_id: str
    exit_code: int
    accelerator: str | None
    launched_s: float
    """By time.monotonic."""


class Trainers:
    """Launches, counts, signals and collects trainers. Safe to use from several threads."""

    def __init__(self, launcher: Launcher, accelerators: Accelerators) -> None:
        self._launcher = launcher
        self._accelerators = accelerators
        self._children: dict[str, Child] = {}
        self._living: frozenset[str] = frozenset()
        self._looking = threading.Lock()

    @property
    def living(self) -> frozenset[str]:
        """The jobs that have a trainer, as of the last look; it costs nothing to ask."""
        return self._living

    def look(self, unfinished: Iterable[JobEntry]) -> None:
        """See which jobs have a trainer, and which accelerators these use."""
        with self._looking:
            living = [entry for entry in unfinished if self.has(entry)]
            self._living = frozenset(entry.job_id for entry in living)
        self._accelerators.follow(self.accelerator(entry) for entry in living)

    def has(self, entry: JobEntry) -> bool:
        """Whether a trainer lives for this job, or is about to take its lock.

        A child that has ended counts until it is collected: how it ended is only told then.
        """
        return entry.job_id in self._children or entry.folder.is_training()

    def launch(self, folder: JobFolder, accelerator: str | None) -> None:
        """Raises OSError."""
        launched_s = time.monotonic()
        self._children[folder.job_id] = Child(self._launcher.launch(folder, accelerator), accelerator, launched_s)
        with self._looking:
            self._living |= {folder.job_id}

    def forget(self, job_id: str) -> None:
        """Take note that a job's trainer is gone, before the next look. It waits for one that is under way."""
        with self._looking:
            self._living -= {job_id}

    def collect(self) -> list[Ended]:
        """The trainers launched by this server that have ended since the last call."""
        ended = []
        for job_id, child in list(self._children.items()):
            exit_code = child.process.poll()
            if exit_code is not None:
                del self._children[job_id]
                ended.append(Ended(job_id, exit_code, child.accelerator, child.launched_s))
        return ended

    def signal(self, folder: JobFolder, number: signal.Signals) -> bool:
        """Signal the trainer of a job; False where no process is known for sure to be it."""
        child = self._children.get(folder.job_id)
        if child is not None and child.process.poll() is None:
            child.process.send_signal(number)
            return True
        pid = pid_of_trainer(folder)
        if pid is None:
            return False
        with suppress(ProcessLookupError):
            os.kill(pid, number)
        return True

    def accelerator(self, entry: JobEntry) -> str | None:
        """The one that a job's trainer has; None on a CPU."""
        child = self._children.get(entry.job_id)
        return child.accelerator if child is not None else self._accelerators.of(entry.status.accelerator)


def pid_of_trainer(folder: JobFolder) -> int | None:
    """The process that holds a job's lock, as far as that can be told: the one that status.json names, if it does.

    A pid in a file may be a dead trainer's, whose number another process has by now; having the lock file open tells.
    """
    try:
        pid = jobs.read_status(folder).pid
        lock = os.path.realpath(folder.trainer_lock)
        if not pid or not folder.is_training():
            return None
        is_it = any(file.path == lock for file in psutil.Process(pid).open_files())
    except (BrokenFile, psutil.Error, OSError):
        return None
    return pid if is_it else None
