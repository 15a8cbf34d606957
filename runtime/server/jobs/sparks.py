"""The curves of jobs at a glance, kept for as long as their files stay as they are."""

from collections import OrderedDict

from msgspec import Struct

from runtime.server.entries import JobEntry
from state import metrics, stamps
from state.errors import BrokenFile

KEPT = 500  # jobs


class _Spark(Struct, frozen=True):
    stamp: int
    losses: list[float]


class Sparks:
    """Safe to use from several threads: at worst a curve is read twice."""

    def __init__(self) -> None:
        self._kept: OrderedDict[str, _Spark] = OrderedDict()

    def of(self, entry: JobEntry) -> list[float]:
        """A few of a job's losses, from the first to the last; none where they cannot be read."""
        stamp = stamps.of(entry.path, ["metrics.jsonl"])
        known = self._kept.pop(entry.job_id, None)
        if known is None or known.stamp != stamp:
            known = _Spark(stamp, _losses(entry))
        self._kept[entry.job_id] = known
        while len(self._kept) > KEPT:
            self._kept.popitem(last=False)
        return known.losses


def _losses(entry: JobEntry) -> list[float]:
    try:
        return metrics.sketch(entry.folder.metrics_file)
    except BrokenFile:
        return []
