"""The beginning of a trainer's attempt at its job: what status.json says from the first moment on."""

import os
import shutil

from msgspec import structs

from state import clock, jobs, store
from state.jobs import JobFolder, Status

RESERVE_BYTES = 65_536  # a few blocks, for the last words of a job whose disk is full


def begin(folder: JobFolder) -> Status:
    """Declare the job running, by this process, and count the attempt.

    A job that never ran before (status.json removed by hand, too) begins anew: what an earlier run left is removed.
    """
    before = jobs.read_status(folder)
    if before.started_at is None:
        shutil.rmtree(folder.checkpoints, ignore_errors=True)
        folder.metrics_file.unlink(missing_ok=True)
    checkpoint = folder.newest_checkpoint()
    is_fresh = before.attempt == 0 or before.status in jobs.FINISHED or checkpoint > before.attempt_step
    status = structs.replace(
        before,
        status="running",
        pid=os.getpid(),
        accelerator=os.environ.get("CUDA_VISIBLE_DEVICES"),
        attempt=1 if is_fresh else before.attempt + 1,
        attempt_step=checkpoint,
        started_at=before.started_at or clock.now(),
        completed_at=None,
        error_message=None,
    )
    if not folder.reserve.exists():
        folder.reserve.write_bytes(os.urandom(RESERVE_BYTES))
    store.write(folder.status_file, status)
    return status
