"""Growing pauses between the tries of what fails, and each reason told once."""

import logging
import time
from collections.abc import Collection

from msgspec import Struct

FIRST_PAUSE_S = 1.0
LONGEST_PAUSE_S = 300.0

log = logging.getLogger(__name__)


class _Failing(Struct):
    reason: str
    pause_s: float
    next_try_s: float


class Backoff:
    """What fails, each by its name, and when it may be tried again."""

    def __init__(self) -> None:
        self._failing: dict[str, _Failing] = {}

    def may_try(self, name: str) -> bool:
        failing = self._failing.get(name)
        return failing is None or time.monotonic() >= failing.next_try_s

    def failed(self, name: str, reason: str, unforeseen: Exception | None = None) -> None:
        """Wait, twice as long as the last time, and log the reason unless it is the last one's.

        What nobody foresaw is logged with its traceback.
        """
        last = self._failing.get(name)
        pause_s = FIRST_PAUSE_S if last is None else min(2 * last.pause_s, LONGEST_PAUSE_S)
        if last is None or last.reason != reason:
            log.warning("%s", reason, exc_info=unforeseen)
        self._failing[name] = _Failing(reason, pause_s, time.monotonic() + pause_s)

    def reason(self, name: str) -> str | None:
        """Why it failed the last time; None for what does not fail."""
        failing = self._failing.get(name)
        return failing.reason if failing else None

    def forget(self, name: str) -> None:
        self._failing.pop(name, None)

    def keep(self, names: Collection[str]) -> None:
        """Forget all others: they are over."""
        self._failing = {name: failing for name, failing in self._failing.items() if name in names}
