"""A trainer's attempt at its job, as status.json tells of it from the attempt's first moment to its end."""

import os
import shutil

from msgspec import structs

from state import clock, folders, jobs
from state.jobs import JobFolder, JobState, Remedy, Status

RESERVE_BYTES = 65_536  # a few blocks, for the last words of a job whose disk is full


class Attempt:
    """Has the newest status, and is the only writer of status.json while this process holds trainer.lock."""

    def __init__(self, folder: JobFolder) -> None:
        """Raises BrokenFile when status.json cannot be read."""
        self.folder = folder
        self.status = jobs.read_status(folder)
        """What is so; on the disk by the next `write`."""
        self.note: str | None = None
        """What the status says for as long as nothing else is to be said."""
        self.longest: int | None = None
        """The tokens of the longest document, about, once that is known."""

    def begin(self) -> None:
        """Declare the job running, by this process, and count the attempt.

        A job that never ran before (status.json removed by hand, too) begins anew: what an earlier run left is removed.
        """
        folder, before = self.folder, self.status
        if before.started_at is None:
            shutil.rmtree(folder.checkpoints, ignore_errors=True)
            folder.metrics_file.unlink(missing_ok=True)
            folder.samples_file.unlink(missing_ok=True)
            shutil.rmtree(folder.reports, ignore_errors=True)
        folder.publishing.unlink(missing_ok=True)
        for parent in (folder.checkpoints, folder.tokens):
            folders.sweep(parent)  # from here on, what is unfinished in there is being written
        checkpoint = folder.newest_checkpoint()
        is_fresh = before.attempt == 0 or before.status in jobs.AT_REST or checkpoint > before.attempt_step
        if not folder.reserve.exists():
            folder.reserve.write_bytes(os.urandom(RESERVE_BYTES))
        self.write(
            structs.replace(
                before,
                status="running",
                pid=os.getpid(),
                accelerator=os.environ.get("CUDA_VISIBLE_DEVICES"),
                attempt=1 if is_fresh else before.attempt + 1,
                attempt_step=checkpoint,
                started_at=before.started_at or clock.now(),
                completed_at=None,
                error_message=None,
                remedy=None,
                ends_at=None,
                stopped_early=None,
                message=None,
                planned_memory_mb=None,
            )
        )

    def plan(self, memory_mb: float) -> None:
        """Say what it will take at most. What is told of its memory is measured from now on."""
        self.write(structs.replace(self.status, planned_memory_mb=round(memory_mb, 1), memory_mb=None))

    def give_back(self) -> None:
        """Say that the attempt was cut off from outside, by a machine that shuts down: it is not counted as a death."""
        self.write(structs.replace(self.status, attempt=self.status.attempt - 1))

    def pause(self) -> None:
        """Say that the job waits until somebody resumes it."""
        self.write(structs.replace(self.status, status="paused", pid=None, ends_at=None, message=self.note))

    def tell(self, message: str) -> None:
        """Say what is done while no step is taken."""
        self.write(structs.replace(self.status, message=message))

    def write(self, status: Status) -> None:
        """Durable when this returns."""
        self.status = status
        jobs.write_status(self.folder, status)

    def begin_publishing(self) -> None:
        """Say that from now on nobody is listened to until the adapter is published. Who stops the job waits for it."""
        self.folder.publishing.touch()

    def complete(self, adapter_name: str, stopped_early: str | None) -> None:
        """Say that the adapter is published: the job's last word. `stopped_early` is why it has fewer steps."""
        self.folder.reserve.unlink(missing_ok=True)
        self.status = structs.replace(
            self.status, progress=100.0, adapter_name=adapter_name, stopped_early=stopped_early
        )
        self.end("completed")

    def end(self, status: JobState, error_message: str | None = None, remedy: Remedy | None = None) -> None:
        """The attempt's last word."""
        self.folder.publishing.unlink(missing_ok=True)
        self.write(
            structs.replace(
                self.status,
                status=status,
                pid=None,
                completed_at=clock.now(),
                error_message=error_message,
                remedy=remedy,
                ends_at=None,
                message=self.note,
            )
        )
