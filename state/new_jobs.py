"""Making a job's folder: job.json, and the job's own copy of its rows and of the adapter that it goes on from."""

import uuid
from collections.abc import Callable
from pathlib import Path

from msgspec import structs

from state import clock, folders, initial_adapters, jobs, methods, store
from state.config import TrainingConfig
from state.jobs import Job, JobFolder, Status
from state.root import DataRoot
from state.row_source import RowSource
from state.rows import row
from state.rows.tally import Tally


def create(  # noqa: PLR0913, PLR0917  a job's parts
    root: DataRoot,
    job: Job,
    train: RowSource,
    held_out: RowSource | None,
    check: Callable[[int], None] = lambda _: None,
    init: initial_adapters.Source | None = None,
) -> JobFolder:
    """Make a pending job's folder with its own copy of the rows, whole and durable when this returns.

    `check` is told how many rows are trained on, and may refuse them. Where `held_out` is the other side of a split,
    its rows lie among the others. `init` is the adapter that it goes on from.
    Raises ServiceError for rows that cannot be used; then nothing is left.
    """
    job_id = str(uuid.uuid4())
    target = root.training_jobs / f"{jobs.PREFIX}{job_id}"
    root.create()
    with folders.appearing(target) as hidden:
        building = JobFolder(hidden)
        building.train_file.parent.mkdir()
        trained, evaluated = _copy(train, building.train_file, job.training_config)
        check(trained.num_rows)
        if held_out is not None and held_out.split is None:
            evaluated, _ = _copy(held_out, building.eval_file, job.training_config)
        if init is not None:
            initial_adapters.copy(init, building.init_adapter)
        named = structs.replace(
            job,
            job_id=job_id,
            created_at=job.created_at or clock.now(),
            data_sha256=trained.sha256,
            eval_sha256=evaluated.sha256 if evaluated.num_rows else None,
        )
        building.job_file.write_bytes(store.pretty(named))
        building.status_file.write_bytes(store.pretty(Status()))
    return JobFolder(target)


def _copy(source: RowSource, file: Path, settings: TrainingConfig) -> tuple[Tally, Tally]:
    """Write rows in their canonical form, those of both sides of a split; the counts of the source's own side, and of
    the other.
    """
    split, own, other = source.split, Tally(), Tally()
    with file.open("wb") as opened:
        for _, one in source.whole.rows(skip_invalid=settings.skip_invalid):
            methods.check_row(settings.method, source.name, one)
            line = row.encode(one) + b"\n"
            opened.write(line)
            (own if split is None or split.takes(one) else other).add(line)
    if split is not None:
        split.check(source.name, other.num_rows, own.num_rows + other.num_rows)
    return own, other
