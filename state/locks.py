"""Locks between processes, held by the kernel: a lock is free the moment its holder is gone, however it went.

Lock files stay behind after release (removing them would split waiters across two files); they are empty and mean
nothing by their presence.
"""

import os
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from filelock import lock_descriptor, unlock_descriptor

from state.errors import ServiceError

POLL_S = 0.01


class LockHeld(ServiceError):
    """Another process holds the lock."""


@contextmanager
def hold(path: Path, timeout_s: float) -> Iterator[None]:
    """Hold the lock at `path`, waiting `timeout_s` for it at most.

    Raises LockHeld when it is still held by then, FileNotFoundError when the folder does not exist (filelock's own
    FileLock would create it: a job's folder, renamed under its trainer, would come back under its old name).
    """
    with _held(path, os.open(path, os.O_RDWR | os.O_CREAT, 0o644), timeout_s):
        yield


@contextmanager
def _held(path: Path, descriptor: int, timeout_s: float) -> Iterator[None]:
    """Hold the lock that is open as `descriptor`, and close that."""
    try:
        deadline = time.monotonic() + timeout_s
        while not lock_descriptor(descriptor, blocking=False):
            if time.monotonic() >= deadline:
                raise LockHeld(f"{path} is held by another process")
            time.sleep(POLL_S)
        try:
            yield
        finally:
            unlock_descriptor(descriptor)
    finally:
        os.close(descriptor)


def is_held(path: Path) -> bool:
    """Whether a living process holds the lock. Asking takes the lock for an instant (about 0.1 ms).

    It makes no file: a folder that somebody removes meanwhile would be found not to be empty.
    """
    try:
        with _held(path, os.open(path, os.O_RDWR), 0):
            return False
    except LockHeld:
        return True
    except OSError:
        return False  # gone meanwhile, somebody else's, or on a file system that became read-only
