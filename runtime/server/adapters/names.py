"""Whether an adapter's name is free: no adapter has it, no job will give it, and no request is about to."""

import threading
from collections.abc import Iterator
from contextlib import contextmanager

from runtime.server.index import Index
from state import adapters, names
from state.errors import ServiceError
from state.root import DataRoot


class AdapterNames:
    """The names of one data root's adapters. Safe to use from several threads."""

    def __init__(self, root: DataRoot, index: Index) -> None:
        self._root = root
        self._index = index
        self._reserved: set[str] = set()
        self._lock = threading.Lock()

    @contextmanager
    def reserved(self, field: str, name: str | None) -> Iterator[None]:
        """Nobody else is given the name between the check that it is free and the end of the block.

        Nobody waits: a second one who wants it is refused. Raises ServiceError.
        """
        if name is None:
            yield
            return
        with self._lock:
            self.check_is_free(field, name)
            self._reserved.add(name)
        try:
            yield
        finally:
            with self._lock:
                self._reserved.remove(name)

    def check_is_free(self, field: str, name: str | None) -> None:
        """Raise ServiceError unless an adapter may be given this name; `field` is the request's."""
        if name is None:
            return
        names.check_adapter(field, name)
        if name in self._reserved:
            raise ServiceError(f"{field} {name!r} is taken by another request, which is not done yet")
        if adapters.is_taken(self._root, name):
            raise ServiceError(f"{field} {name!r} is taken: choose another, or delete that adapter first")
        claimant = self._index.claimant(name)
        if claimant is not None:
            raise ServiceError(f"{field} {name!r} is taken by job {claimant}, which is not done yet")
