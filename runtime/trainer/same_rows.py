"""A job is trained on the same rows in all its attempts: which ones is written down in its status.json.

Without that a resumed job would go on with other rows in the place of those that it has seen, and nobody would know.
"""

import logging

from msgspec import structs

from runtime.trainer.attempt import Attempt
from runtime.trainer.preparation import Data
from state.errors import ServiceError
from state.job_rows import JobRows
from state.jobs import Job

log = logging.getLogger("trainer")


def settle(attempt: Attempt, job: Job, rows: JobRows, data: Data) -> Job:
    """Have status.json name the rows, at the next write; returns the job with their hashes.

    Raises ServiceError where the job has a checkpoint that was made with other rows. Before the first checkpoint rows
    may change: a job that failed by them is resumed when they are mended.
    """
    train = data.train.counts.data_sha256
    held_out = data.held_out.counts.data_sha256 if data.held_out else None
    before, step = attempt.status, attempt.folder.newest_checkpoint()
    if before.data_sha256 is not None and step > 0:
        if train != before.data_sha256:
            raise _changed(rows.train.name, "trained", step)
        if held_out != before.eval_sha256:
            raise _changed(rows.held_out.name if rows.held_out else "data/eval.jsonl", "evaluated", step)
    elif job.data_sha256 not in {None, train} or (job.data_sha256 and job.eval_sha256 != held_out):
        log.warning("The rows have changed since the job was created: it is trained on those that are there now")
    attempt.status = structs.replace(before, data_sha256=train, eval_sha256=held_out)
    return structs.replace(job, data_sha256=train, eval_sha256=held_out)


def _changed(name: str, what: str, step: int) -> ServiceError:
    return ServiceError(
        f"{name}: these are other rows than those that the job was {what} on up to its checkpoint of step {step}. "
        "Put back the rows as they were, with the same validation_split and seed; or start a new job; or remove this "
        "one's status.json to train it from scratch"
    )
