"""Who takes the machine's memory, of Lathe's own processes."""

from collections.abc import Iterator
from contextlib import suppress

import psutil
from msgspec import Struct

from runtime.server.entries import JobEntry

NAMES = {
    "runtime.trainer": "trainer",
    "runtime.trainer.spare": "spare trainer",
    "runtime.inference": "inference",
    "runtime.export": "export",
}


class Occupant(Struct, frozen=True):
    """A process. `memory_mb` is resident, in 2^20 bytes."""

    what: str
    pid: int
    job_id: str | None
    memory_mb: int


def found(trained: list[JobEntry]) -> list[Occupant]:
    """The server itself, those that it started, and the trainers of these jobs, whoever started them."""
    jobs = {entry.status.pid: entry.job_id for entry in trained if entry.status.pid is not None}
    return list(_found(jobs))


def _found(jobs: dict[int, str]) -> Iterator[Occupant]:
    own = psutil.Process()
    processes = {process.pid: process for process in own.children(recursive=True)}
    for pid in jobs.keys() - processes.keys():
        with suppress(psutil.Error):
            processes[pid] = psutil.Process(pid)
    yield Occupant("server", own.pid, None, own.memory_info().rss // 2**20)
    for pid, process in sorted(processes.items()):
        with suppress(psutil.Error):  # it ended just now
            memory_mb = process.memory_info().rss // 2**20
            if pid in jobs:
                yield Occupant("trainer", pid, jobs[pid], memory_mb)
            else:
                yield Occupant(_name(process.cmdline()), pid, None, memory_mb)


def _name(command: list[str]) -> str:
    module = command[command.index("-m") + 1] if "-m" in command[:-1] else ""
    return NAMES.get(module, module or "other")
