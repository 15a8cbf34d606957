"""Starting trainers: processes of their own that outlive the server.

A trainer's output goes to the job's train.log. Launched cold it is the same command that a person types,
`python -m runtime.trainer training_jobs/<job>`.

Two of a cold start's seconds are imports. So one spare process (`python -m runtime.trainer.spare`) waits with these
behind it, is given the next job's folder and is that job's trainer from then on. It is not forked from anything:
torch's threads and Apple's frameworks do not survive a fork. Its imports (bitsandbytes) have CUDA look at the devices,
so it has its accelerator from the beginning, and only takes a job that gets this one.
"""

import logging
import subprocess
import tempfile
from collections.abc import Mapping
from contextlib import ExitStack
from typing import IO

import msgspec
from msgspec import Struct

from runtime.messages.spare import Assignment
from runtime.process.endings import explain
from runtime.server import processes
from runtime.server.jobs.accelerators import Accelerators
from runtime.server.jobs.backoff import Backoff
from state.jobs import JobFolder

SPARE = "spare"

log = logging.getLogger(__name__)


class Spare(Struct):
    """`errors` has what it says before it has a job."""

    process: subprocess.Popen[bytes]
    accelerator: str | None
    errors: IO[bytes]


class Launcher:
    """Starts trainers, and holds the spare one between jobs."""

    def __init__(self, accelerators: Accelerators, limits: Mapping[str, str], *, may_have_spare: bool) -> None:
        """`limits` go into every trainer's environment."""
        self._accelerators = accelerators
        self._limits = limits
        self._may_have_spare = may_have_spare
        self._spare: Spare | None = None
        self._backoff = Backoff()

    @property
    def spare_accelerator(self) -> str | None:
        """The accelerator on which a trainer starts at once; None without one."""
        spare = self._spare
        return spare.accelerator if spare else None

    def launch(self, folder: JobFolder, accelerator: str | None) -> subprocess.Popen[bytes]:
        """Have a trainer in a job's folder. Raises OSError when the process cannot be made."""
        spare = self._spare
        if spare is not None and spare.accelerator == accelerator:
            self._spare = None
            with spare.errors:
                if _give(spare.process, Assignment(str(folder.path))):
                    self._backoff.forget(SPARE)
                    return spare.process
                self._after_death(spare)
        with folder.log_file.open("ab") as output:
            return processes.start(
                "runtime.trainer", str(folder.path), output=output, environment=self._environment(accelerator)
            )

    def prepare(self) -> None:
        """Have a spare for the accelerator that the next job will get, where there may be one.

        One that dies before it has a job is not replaced at once: what its imports lack, the next one's lack too.
        """
        if not self._may_have_spare:
            return
        if self._spare is not None and self._spare.process.poll() is not None:
            dead, self._spare = self._spare, None
            with dead.errors:
                self._after_death(dead)
        accelerator = self._accelerators.for_spare(self.spare_accelerator)
        if self._spare is not None and self._spare.accelerator != accelerator:
            self.close()
        if self._spare is None and self._backoff.may_try(SPARE):
            self._start_spare(accelerator)

    def close(self) -> None:
        """End the spare. When the server is killed the spare sees its pipe close, and ends by itself."""
        spare, self._spare = self._spare, None
        if spare is not None:
            with spare.errors:
                processes.end(spare.process, grace_s=0)

    def _start_spare(self, accelerator: str | None) -> None:
        with ExitStack() as opened:
            try:
                errors = opened.enter_context(tempfile.TemporaryFile())
                process = processes.start(
                    "runtime.trainer.spare",
                    output=subprocess.DEVNULL,
                    errors=errors,
                    stdin=subprocess.PIPE,
                    environment=self._environment(accelerator),
                )
            except OSError as error:  # without a folder for temporary files, too
                self._backoff.failed(SPARE, f"No spare trainer can be started, jobs start cold: {error}")
                return
            self._spare = Spare(process, accelerator, errors)
            opened.pop_all()  # closed when the spare has its job, or has ended

    def _environment(self, accelerator: str | None) -> dict[str, str]:
        return {**self._limits, **self._accelerators.environment(accelerator)}

    def _after_death(self, spare: Spare) -> None:
        exit_code = processes.end(spare.process, grace_s=0)
        spare.errors.seek(0)
        said = spare.errors.read().decode(errors="replace").rstrip()
        self._backoff.failed(
            SPARE, f"The spare trainer died before it had a job, jobs start cold. {explain(exit_code)}\n{said}".rstrip()
        )


def _give(spare: subprocess.Popen[bytes], assignment: Assignment) -> bool:
    """Whether the spare has its job; one that has died in the meantime cannot take any."""
    if spare.stdin is None:
        return False
    try:
        with spare.stdin as its_input:
            if spare.poll() is not None:
                return False
            its_input.write(msgspec.json.encode(assignment) + b"\n")
    except BrokenPipeError:
        return False
    return True
