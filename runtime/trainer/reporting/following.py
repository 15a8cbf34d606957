"""Telling a tool each line of metrics.jsonl once, in order, until the trainer has ended."""

from collections.abc import Callable
from importlib import import_module
from threading import Event

import msgspec
from msgspec import structs

from runtime.trainer.reporting.run import Beginning, Outcome, ToolRun
from state import jobs, metrics, report_to, store
from state.jobs import Job, JobFolder
from state.metrics import Point
from state.report_to import Report, Told
from state.root import DataRoot

LOOK_S = 1.0

RUNS = {"tensorboard": "TensorBoardRun", "mlflow": "MlflowRun", "wandb": "WandbRun", "trackio": "TrackioRun"}
UNTOLD = ("step", "elapsed_s", "tokens")


def follow(  # noqa: PLR0913, PLR0917  a job, where it is told, and until when
    root: DataRoot, folder: JobFolder, job: Job, report: Report, ended: Event, outcome: Callable[[], Outcome]
) -> None:
    """Returns when all is told and the run is closed. Raises whatever the tool's library does."""
    told = report_to.told(folder.reports, report.type)
    module = import_module(f"runtime.trainer.reporting.{report.type}")
    run: ToolRun = getattr(module, RUNS[report.type])(_beginning(root, folder, job, report, told))
    told = structs.replace(told, run_id=run.run_id, problem=None)
    _keep(folder, report, told)
    position = None
    while True:
        is_last = ended.is_set()
        read = metrics.read_all_on(folder.metrics_file, position)
        position = read.end
        told = _tell(folder, report, run, told, read.points)
        if is_last:
            run.end(outcome())
            return
        ended.wait(LOOK_S)


def _tell(folder: JobFolder, report: Report, run: ToolRun, told: Told, read: list[Point]) -> Told:
    """Tell the lines that are new, and note how far it came when they last."""
    points = [point for point in read if _order(point) > (told.step, told.is_evaluation)]
    if not points:
        return told
    for point in points:
        run.log(point.step, figures(point))
    run.flush()
    step, is_evaluation = _order(points[-1])
    told = structs.replace(told, step=step, is_evaluation=is_evaluation)
    _keep(folder, report, told)
    return told


def figures(point: Point) -> dict[str, float]:
    """By the names that transformers' Trainer gives them: `train/loss`, `eval/loss`."""
    found = {name: value for name, value in structs.asdict(point).items() if value is not None and name not in UNTOLD}
    if point.is_evaluation:
        del found["epoch"]
    return {
        f"eval/{name.removeprefix('eval_')}" if name.startswith("eval_") else f"train/{name}": float(value)
        for name, value in found.items()
    }


def _order(point: Point) -> tuple[int, bool]:
    """A step's evaluation comes after its own line."""
    return (point.step, point.is_evaluation)


def _keep(folder: JobFolder, report: Report, told: Told) -> None:
    """Not in a folder that is no job's any more. Raises FileNotFoundError."""
    folder.job_file.stat()
    store.write(report_to.record_of(folder.reports, report.type), told)


def _beginning(root: DataRoot, folder: JobFolder, job: Job, report: Report, told: Told) -> Beginning:
    settings = {
        "job_id": folder.job_id,
        "model_name": job.model_name,
        "init_adapter": job.init_adapter,
        "seed": job.seed,
        **msgspec.to_builtins(job.lora),
        **msgspec.to_builtins(job.training_config),
    }
    return Beginning(
        folder=folder.reports,
        root=root.path,
        job_id=folder.job_id,
        project=report.project or report_to.DEFAULT_PROJECT,
        name=report.name or jobs.adapter_name(folder, job),
        entity=report.entity,
        tags=report.tags,
        settings={name: value for name, value in settings.items() if value is not None},
        run_id=told.run_id,
    )
