"""A training run, told in order: read the job, prepare the model, fit the machine, resume, loop, publish."""

import logging
from contextlib import closing

from msgspec import structs
from tqdm.contrib.logging import logging_redirect_tqdm

from runtime.trainer import best_adapter, early_stopping, initial, memory, publish, same_rows
from runtime.trainer.attempt import Attempt
from runtime.trainer.checkpoint import Checkpoints, Position
from runtime.trainer.fit import MB
from runtime.trainer.interruption import Interruption
from runtime.trainer.monitoring import Monitor
from runtime.trainer.preferences import run as preferences
from runtime.trainer.preparation import Ready, prepare
from runtime.trainer.progress import Progress
from runtime.trainer.reports import Reports
from runtime.trainer.run import Run, compute_gradients, make_run
from state import job_rows, jobs
from state.adapters import Results
from state.jobs import Job, JobFolder
from state.root import DataRoot

log = logging.getLogger("trainer")


def train(root: DataRoot, attempt: Attempt, interruption: Interruption) -> None:
    """Train the job's adapter and publish it. The caller holds the folder's trainer.lock, and the attempt has begun.

    Raises ServiceError and whatever torch raises when it fails.
    """
    folder = attempt.folder
    job = jobs.read_job(folder)
    publish.check(root, job)
    rows = job_rows.found(root, folder, job)

    def tell(message: str) -> None:
        with interruption.deferred():
            attempt.tell(message)

    init = initial.place(root, folder, job)
    ready = prepare(root, job, rows, folder.tokens, init, tell)
    job = same_rows.settle(attempt, job, rows, ready.data)

    attempt.longest = ready.data.longest // (2 if ready.data.are_pairs else 1)
    fitted = ready.fit()
    log.info(
        "Rows of up to %s tokens, gradient checkpointing: %s; about %.0f MB of the %.0f that there are",
        *(fitted.row_tokens, fitted.gradient_checkpointing, ready.peak(fitted) / MB, ready.memory / MB),
    )
    with interruption.deferred():
        attempt.plan(ready.peak(fitted) / MB)
    memory.enable_gradient_checkpointing(ready.model, fitted.gradient_checkpointing)
    run = make_run(ready, fitted, job, preferences.prepare(root, job, ready, fitted, init, tell))
    checkpoints = Checkpoints(folder, run.model, run.optimizer, run.settings.save_total_limit)
    position = checkpoints.restore()
    with interruption.deferred():
        reports = Reports(attempt, job)
        progress = Progress(attempt, position, run.settings, len(run.data.train.rows), reports)
    monitor = Monitor(folder, run, progress, interruption)

    def save() -> None:
        progress.close()
        checkpoints.save(progress.position)

    interruption.save_first(save)
    with logging_redirect_tqdm(), closing(progress):
        loop(run, progress, checkpoints, monitor, interruption)
        interruption.preclude()
    with interruption.deferred():
        attempt.begin_publishing()
        _build(folder, job, ready, progress.position)
    with interruption.deferred():
        name = publish.publish(root, folder, job)
        stopped_early = early_stopping.sentence(progress.position, run.settings.early_stopping, run.data.total_steps)
        if stopped_early:
            log.info("%s", stopped_early)
        reports.finish()
        log.info("Completed: the adapter is adapters/%s", name)
        attempt.complete(name, stopped_early)


def loop(run: Run, progress: Progress, checkpoints: Checkpoints, monitor: Monitor, interruption: Interruption) -> None:
    """Step by step to the end, which evaluations may bring early; save every `save_steps` and at the end.

    Where a checkpoint was made between a step and its evaluation, the evaluation comes first.
    """
    while True:
        monitor.look()
        position = progress.position
        is_over = position.step >= run.data.total_steps or early_stopping.is_due(position, run.settings.early_stopping)
        if is_over or position.step % run.settings.save_steps == 0:
            with interruption.deferred():
                checkpoints.save(position)
                monitor.tidy()
        if is_over:
            return
        step = compute_gradients(run, position.step)
        with interruption.deferred(), checkpoints.updating():
            run.optimizer.step(step.learning_rate)
            progress.step(step)


def _build(folder: JobFolder, job: Job, ready: Ready, position: Position) -> None:
    """Write the finished adapter, which the job's record describes with the settings that it came to have."""
    settings, data = job.training_config, ready.data
    has_best = settings.keep == "best" and position.best_loss is not None
    keeps_best = has_best and best_adapter.load(folder, ready.model, position.best_step)
    settings = structs.replace(settings, warmup_steps=data.warmup_steps, max_seq_length=data.max_seq_length)
    resolved = structs.replace(job, lora_config=ready.lora_config, training_config=settings)
    publish.build(folder, ready.model, resolved, _results(position, keeps_best=keeps_best), ready.chat)


def _results(position: Position, *, keeps_best: bool) -> Results:
    return Results(
        final_loss=position.train_loss,
        eval_loss=position.best_loss if keeps_best else position.eval_loss,
        best_step=position.best_step if keeps_best else None,
        training_steps=position.step,
        training_time_minutes=round(position.elapsed_s / 60, 2),
    )
