"""Whether an adapter's name is free: no adapter has it, and no job that will make one."""

import threading
from collections.abc import Iterator
from contextlib import contextmanager

from runtime.server.index import Index
from state import adapters, names
from state.errors import ServiceError
from state.root import DataRoot

_one_at_a_time = threading.Lock()


@contextmanager
def taking(root: DataRoot, index: Index, field: str, name: str | None) -> Iterator[None]:
    """Nobody else takes a name between the check that it is free and the end of the block. Raises ServiceError."""
    with _one_at_a_time:
        check_is_free(root, index, field, name)
        yield


def check_is_free(root: DataRoot, index: Index, field: str, name: str | None) -> None:
    """Raise ServiceError unless an adapter may be given this name; `field` is the request's."""
    if name is None:
        return
    names.check_adapter(field, name)
    if adapters.is_taken(root, name):
        raise ServiceError(f"{field} {name!r} is taken: choose another, or delete that adapter first")
    claimant = index.claimant(name)
    if claimant is not None:
        raise ServiceError(f"{field} {name!r} is taken by job {claimant}, which is not done yet")
