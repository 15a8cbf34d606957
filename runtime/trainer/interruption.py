"""Being asked to stop: by the file `stop` or `pause`, by Ctrl-C, a machine that shuts down, or the job's removal.

Whoever asks will not wait for long: the server kills after 15 s, a machine that shuts down after 90 s at most, and a
single row of a 7B model takes minutes on a CPU. So the run itself is not asked. A thread watches, and ends the process
as soon as nothing is half done, with a checkpoint of the last whole step: until the optimizer's next update the trained
values are still that step's own. Only what was computed of the step under way is lost.

A folder without job.json is no job any more. Nothing is written in it then, so that nothing of it comes back, and
`rm -rf` finds it empty; after REMOVED_AFTER_S the run ends.
"""

import os
import select
import signal
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from types import FrameType

from state import folders
from state.jobs import JobFolder

POLL_S = 0.1  # the two files and job.json; a look at all costs 6 us
REMOVED_AFTER_S = 1.0  # an editor may move a file away for a moment before it writes the new one
SIGNALS = (signal.SIGINT, signal.SIGTERM)


class Cancelled(Exception):
    """The user wants the job to end."""


class Paused(Exception):
    """The user wants the job to wait."""


class Terminated(Exception):
    """The process has to end; the job is to go on later."""


class Removed(Exception):
    """The folder is no job any more: it was removed or renamed, or job.json was."""


class Interruption:
    """Ends the process when it is asked to stop, at a moment when no file is half written and no step half taken."""

    def __init__(self, folder: JobFolder) -> None:
        self._folder = folder
        self._missing_since_s: float | None = None
        self._deciding = threading.RLock()
        self._save: Callable[[], None] = lambda: None

    def check(self) -> None:
        """Raise Cancelled when there is a `stop` file, Paused for a `pause` file. Their makers remove them."""
        if _exists(self._folder.stop_file):
            raise Cancelled("the file `stop` exists; remove it to train on")
        if _exists(self._folder.pause_file):
            raise Paused("the file `pause` exists; remove it to train on")

    def watch(self, end: Callable[[Callable[[], None]], None]) -> None:
        """From now on, interrupt. To be called by the main thread, as Python has it for signals.

        `end` is called in the watching thread, once, and ends the process. It is given what is to be done first, which
        saves the last whole step and raises Cancelled, Paused, Terminated, or the error that the thread itself met.
        """
        reading, writing = os.pipe()
        os.set_blocking(writing, False)
        signal.set_wakeup_fd(writing)  # written to at once, also while the main thread is inside a long operation
        for number in SIGNALS:
            signal.signal(number, _ignore)
        threading.Thread(target=self._watch, args=(reading, end), name="interruption", daemon=True).start()

    def save_first(self, save: Callable[[], None]) -> None:
        """From now on an interruption calls `save`, in the watching thread, before it ends the process."""
        with self._deciding:
            self._save = save

    @contextmanager
    def deferred(self) -> Iterator[None]:
        """An interruption waits until the end of this block, which may write in the job's folder.

        While job.json is missing it does not begin. Raises Removed.
        """
        while self._is_missing():
            time.sleep(POLL_S)
        with self._deciding:
            yield

    def preclude(self) -> None:
        """From now on there are no interruptions: the process is about to end by itself.

        If an interruption has come first, this call never returns, because the interruption ends the process.
        """
        self._deciding.acquire()

    def _watch(self, reading: int, end: Callable[[Callable[[], None]], None]) -> None:
        while True:
            try:
                self._wait(reading)
            except Exception as reason:  # noqa: BLE001  a trainer that nobody can stop must not go on
                with self._deciding:
                    end(partial(self._save_and_raise, reason))
                return

    def _wait(self, reading: int) -> None:
        """For POLL_S at most. Raises Cancelled, Paused, Terminated or Removed."""
        self.check()
        self._is_missing()
        if select.select([reading], [], [], POLL_S)[0]:
            received = os.read(reading, 64)
            if signal.SIGINT in received:
                raise Cancelled("interrupted by Ctrl-C")
            if signal.SIGTERM in received:
                raise Terminated

    def _is_missing(self) -> bool:
        """Whether there is no job.json. Raises Removed when there has been none for REMOVED_AFTER_S."""
        if folders.has(self._folder.path, self._folder.job_file.name):
            self._missing_since_s = None
            return False
        now = time.monotonic()
        since_s = self._missing_since_s = self._missing_since_s or now
        if now - since_s >= REMOVED_AFTER_S:
            raise Removed
        return True

    def _save_and_raise(self, reason: Exception) -> None:
        if not isinstance(reason, Removed):
            self._save()
        raise reason


def _exists(file: Path) -> bool:
    try:
        return file.exists()
    except OSError:  # a network drive that is away for a moment, or a folder that may not be entered
        return False


def _ignore(_number: int, _frame: FrameType | None) -> None:
    """A Python handler has to be there for the wake-up descriptor to be written to."""
