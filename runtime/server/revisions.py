"""What changed since when: a number that grows with every change, and the names of the latest ones."""

import secrets
import threading
from collections import deque
from itertools import islice
from typing import Literal

Kind = Literal["jobs", "adapters", "data"]

KEPT = 4096  # changes: 13 minutes of a job that trains, and it says at once where it stands then


class Revisions:
    """Counts changes. Safe to use from several threads."""

    def __init__(self) -> None:
        self.boot = secrets.token_hex(4)
        """Tells this server's numbers from those of one before it."""
        self._newest = 0
        self._latest: deque[tuple[Kind, str]] = deque(maxlen=KEPT)
        self._lock = threading.Lock()

    @property
    def newest(self) -> int:
        return self._newest

    def note(self, kind: Kind, name: str) -> None:
        """Something came, changed or went."""
        with self._lock:
            self._newest += 1
            self._latest.append((kind, name))

    def since(self, revision: int) -> dict[Kind, set[str]] | None:
        """What has changed since, by name; None where that is too long ago to tell."""
        found: dict[Kind, set[str]] = {"jobs": set(), "adapters": set(), "data": set()}
        with self._lock:
            missed = self._newest - revision
            if not 0 <= missed <= len(self._latest):
                return None
            for kind, name in islice(reversed(self._latest), missed):
                found[kind].add(name)
        return found
