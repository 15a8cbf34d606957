"""Where a job stands in the queue, and what it waits for, in words."""

from collections.abc import Callable, Collection, Iterable

from msgspec import Struct

from runtime.server.entries import JobEntry


class Place(Struct, frozen=True):
    """`position` is 1 for the job that comes next."""

    position: int
    reason: str


def of(
    unfinished: Iterable[JobEntry], living: Collection[str], slots: int, obstacle: Callable[[str], str | None]
) -> dict[str, Place]:
    """The places of the jobs that wait. `unfinished`: the oldest first; `living`: those that have a trainer."""
    waiting: list[JobEntry] = []
    running: list[JobEntry] = []
    for entry in unfinished:
        is_running = entry.job_id in living or entry.status.status == "running"
        (running if is_running else waiting).append(entry)
    free = slots - len(running)
    found = {}
    for position, entry in enumerate(waiting, start=1):
        reason = entry.problem or obstacle(entry.job_id) or _reason(position, free, slots, running)
        found[entry.job_id] = Place(position, reason)
    return found


def _reason(position: int, free: int, slots: int, running: list[JobEntry]) -> str:
    if slots == 0:
        return "This server starts no jobs: --slots 0"
    if position <= free:
        return "Starts in a moment"
    names = [entry.adapter or entry.job_id for entry in running]
    awaited = names[0] if len(names) == 1 else f"one of {len(names)} running jobs"
    before = position - 1 - max(0, free)
    if not names:
        return _jobs_before(before)
    return f"Waits for {awaited}" + (f", then {_jobs_before(before)}" if before else "")


def _jobs_before(count: int) -> str:
    return "1 job before it" if count == 1 else f"{count} jobs before it"
