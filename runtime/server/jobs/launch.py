"""Starting trainers: processes of their own that outlive the server.

`start_new_session` takes a trainer out of the server's terminal and process group; its output goes to the job's
train.log. Launched cold it is the same command that a person types, `python -m runtime.trainer training_jobs/<job>`.

Four of a cold start's seconds are imports. So one spare process (`python -m runtime.trainer.spare`) waits with these
behind it, is given the next job's folder and is that job's trainer from then on. It is not forked from anything:
torch's threads and Apple's frameworks do not survive a fork.
"""

import logging
import subprocess

import msgspec

from runtime.messages.spare import Assignment
from runtime.server import processes
from state.jobs import JobFolder

STDERR = 2

log = logging.getLogger(__name__)


class Launcher:
    """Starts trainers, and holds the spare one between jobs."""

    def __init__(self, *, may_have_spare: bool) -> None:
        self._may_have_spare = may_have_spare
        self._spare: subprocess.Popen[bytes] | None = None

    def launch(self, folder: JobFolder, accelerator: str | None) -> subprocess.Popen[bytes]:
        """Have a trainer in a job's folder. Raises OSError when the process cannot be made."""
        spare, self._spare = self._spare, None
        if spare is not None and _give(spare, Assignment(str(folder.path), accelerator)):
            return spare
        environment = {} if accelerator is None else {"CUDA_VISIBLE_DEVICES": accelerator}
        with folder.log_file.open("ab") as output:
            return processes.start("runtime.trainer", str(folder.path), output=output, environment=environment)

    def prepare(self) -> None:
        """Have a spare, where there may be one. A machine that cannot start it launches cold."""
        if not self._may_have_spare or (self._spare is not None and self._spare.poll() is None):
            return
        try:
            self._spare = processes.start(
                "runtime.trainer.spare", output=subprocess.DEVNULL, errors=STDERR, stdin=subprocess.PIPE
            )
        except OSError as error:
            log.warning("No spare trainer can be started, jobs start cold: %s", error)
            self._may_have_spare = False

    def close(self) -> None:
        """End the spare. When the server is killed the spare sees its pipe close, and ends by itself."""
        if self._spare is not None:
            self._spare.kill()
            self._spare.wait()
            self._spare = None


def _give(spare: subprocess.Popen[bytes], assignment: Assignment) -> bool:
    """Whether the spare has its job; one that has died in the meantime cannot take any."""
    if spare.poll() is not None or spare.stdin is None:
        return False
    try:
        with spare.stdin as its_input:
            its_input.write(msgspec.json.encode(assignment) + b"\n")
    except BrokenPipeError:
        return False
    return True
