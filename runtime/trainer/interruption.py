"""Being asked to stop: by the `stop` file, by Ctrl-C, or by a machine that shuts down."""

import signal
from pathlib import Path
from types import FrameType


class Cancelled(Exception):
    """The user wants the job to end."""


class Terminated(Exception):
    """The process has to end; the job is to go on later."""


class Interruption:
    """Remembers signals until the run asks, so that a step and its checkpoint are always whole."""

    def __init__(self, stop_file: Path) -> None:
        self._stop_file = stop_file
        self._received: int | None = None
        for number in (signal.SIGINT, signal.SIGTERM):
            signal.signal(number, self._remember)

    def is_wanted(self) -> bool:
        return self._received is not None or self._stop_file.exists()

    def check(self) -> None:
        """Raise Cancelled or Terminated when the run is to end. A `stop` file stays: its maker removes it."""
        if self._stop_file.exists():
            raise Cancelled("the file `stop` exists; remove it to train on")
        if self._received == signal.SIGINT:
            raise Cancelled("interrupted by Ctrl-C")
        if self._received == signal.SIGTERM:
            raise Terminated

    def _remember(self, number: int, _: FrameType | None) -> None:
        self._received = number
