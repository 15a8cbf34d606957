"""Locks between processes, held by the kernel: a lock is free the moment its holder is gone, however it went.

Lock files stay behind after release (removing them would split waiters across two files); they are empty and mean
nothing by their presence.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from filelock import FileLock, Timeout

from state.errors import ServiceError


class LockHeld(ServiceError):
    """Another process holds the lock."""


@contextmanager
def hold(path: Path, timeout_s: float) -> Iterator[None]:
    """Hold the lock at `path`, waiting `timeout_s` for it at most.

    Raises LockHeld when it is still held by then, FileNotFoundError when the folder does not exist (filelock would
    create it, and a ghost folder with it).
    """
    if not path.parent.is_dir():
        raise FileNotFoundError(path.parent)
    lock = FileLock(path, timeout=timeout_s, poll_interval=0.01)
    try:
        lock.acquire()
    except Timeout:
        raise LockHeld(f"{path} is held by another process") from None
    try:
        yield
    finally:
        lock.release()


def is_held(path: Path) -> bool:
    """Whether a living process holds the lock. Asking takes the lock for an instant (about 0.1 ms)."""
    if not path.exists():
        return False
    try:
        with hold(path, timeout_s=0):
            return False
    except LockHeld:
        return True
    except OSError:
        return False  # gone meanwhile, or on a file system that became read-only, where no trainer lasts
