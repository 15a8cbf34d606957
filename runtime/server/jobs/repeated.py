"""A request for a job that is sent again, because its first answer was lost, finds the job that was made.

Clients repeat what failed on the way. The job itself remembers its request, so this holds across restarts too.
"""

import threading
from collections.abc import Callable
from datetime import timedelta

from runtime.server.index import Index
from state import clock, fine_tuning
from state.errors import Busy

WITHIN = timedelta(minutes=10)
"""OpenAI's client waits that long for an answer before it repeats itself."""


class Repeated:
    """Makes jobs one at a time: a repeated request waits for the first one. Safe to use from several threads."""

    def __init__(self, index: Index) -> None:
        self._index = index
        self._lock = threading.Lock()

    def once(self, request_sha256: str, make: Callable[[], str], *, is_repeated: bool) -> str:
        """The id of the job that a request made already, or what `make` returns. Raises Busy, and what `make` does."""
        with self._lock:
            return (self._made(request_sha256) if is_repeated else None) or make()

    def _made(self, request_sha256: str) -> str | None:
        if not self._index.jobs_are_read:
            raise Busy("The job folders are still being read: try again in a moment")
        since = clock.now() - WITHIN
        for entry in self._index.jobs():
            if entry.created_at < since:
                return None
            if fine_tuning.view(entry.folder).request_sha256 == request_sha256:
                return entry.job_id
        return None
