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

Hashes = tuple[str | None, str | None]
"""Of the rows that are trained on, and of those that are evaluated on."""

log = logging.getLogger("trainer")


def settle(attempt: Attempt, job: Job, rows: JobRows, data: Data) -> Job:
    """Have status.json name the rows, at the next write; returns the job with their hashes.

    Raises ServiceError where the job has a checkpoint that was made with other rows. Before the first checkpoint rows
    may change: a job that failed by them is resumed when they are mended.
    """
    now = (data.train.counts.data_sha256, data.held_out.counts.data_sha256 if data.held_out else None)
    before, step = attempt.status, attempt.folder.newest_checkpoint()
    used = (before.data_sha256, before.eval_sha256)
    created = (job.data_sha256, job.eval_sha256)
    if used[0] is not None and step > 0:
        _check_same(rows, now, used, step)
    elif now not in {used, created} and (used[0] or created[0]):
        log.warning("The rows are not those that the job had before: it is trained on those that are there now")
    attempt.status = structs.replace(before, data_sha256=now[0], eval_sha256=now[1])
    return structs.replace(job, data_sha256=now[0], eval_sha256=now[1])


def _check_same(rows: JobRows, now: Hashes, used: Hashes, step: int) -> None:
    if now[0] != used[0]:
        raise _changed(rows.train.name, "trained", step)
    if now[1] != used[1]:
        raise _changed(rows.held_out.name if rows.held_out else "data/eval.jsonl", "evaluated", step)


def _changed(name: str, what: str, step: int) -> ServiceError:
    return ServiceError(
        f"{name}: these are other rows than those that the job was {what} on up to its checkpoint of step {step}. "
        "Put back the rows as they were, with the same validation_split and seed; or start a new job; or remove this "
        "one's status.json to train it from scratch"
    )
