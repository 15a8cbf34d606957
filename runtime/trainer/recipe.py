"""A training run, told in order: read the job, prepare the model, fit the machine, resume, loop, publish."""

import logging
import math
from contextlib import closing

import torch
from msgspec import Struct, structs
from peft import PeftModel
from tqdm.contrib.logging import logging_redirect_tqdm

from runtime.trainer import batches, best_adapter, early_stopping, initial, lora, memory, publish, same_rows
from runtime.trainer.attempt import Attempt
from runtime.trainer.checkpoint import Checkpoints, Position
from runtime.trainer.documents import num_targets
from runtime.trainer.fit import MB, Fit, rows
from runtime.trainer.interruption import Interruption
from runtime.trainer.loss import SummedLoss
from runtime.trainer.monitoring import Monitor
from runtime.trainer.optimizer import Optimizer, learning_rate_at
from runtime.trainer.preferences import run as preferences
from runtime.trainer.preferences.figures import Figures
from runtime.trainer.preferences.learning import Preferences
from runtime.trainer.preparation import Data, Ready, prepare
from runtime.trainer.progress import Progress, Step
from state import job_rows, jobs
from state.adapters import Results
from state.config import TrainingConfig
from state.errors import ServiceError
from state.jobs import Job
from state.root import DataRoot

log = logging.getLogger("trainer")


class Run(Struct, frozen=True):
    """All that the loop needs, ready."""

    model: PeftModel
    optimizer: Optimizer
    data: Data
    settings: TrainingConfig
    seed: int
    summed_loss: SummedLoss
    row_tokens: int
    device: str
    preferences: Preferences | None
    """Where it learns from them."""


def train(root: DataRoot, attempt: Attempt, interruption: Interruption) -> None:
    """Train the job's adapter and publish it. The caller holds the folder's trainer.lock, and the attempt has begun.

    Raises ServiceError and whatever torch raises when it fails.
    """
    folder = attempt.folder
    job = jobs.read_job(folder)
    publish.check(root, job)
    rows_ = job_rows.found(root, folder, job)

    def tell(message: str) -> None:
        with interruption.deferred():
            attempt.tell(message)

    init = initial.place(root, folder, job)
    ready = prepare(root, job, rows_.train, rows_.held_out, folder.tokens, init, tell)
    job = same_rows.settle(attempt, job, rows_, ready.data)

    data, model = ready.data, ready.model
    fitted = ready.fit()
    log.info(
        "Rows of up to %s tokens, gradient checkpointing: %s; about %.0f MB of the %.0f that there are",
        *(fitted.row_tokens, fitted.gradient_checkpointing, ready.peak(fitted) / MB, ready.memory / MB),
    )
    memory.enable_gradient_checkpointing(model, fitted.gradient_checkpointing)
    references = preferences.computed(root, job, ready, fitted, init, tell)
    run = make_run(ready, fitted, job, preferences.of(job, ready, references))
    checkpoints = Checkpoints(folder, model, run.optimizer, job.training_config.save_total_limit)
    position = checkpoints.restore()
    with interruption.deferred():
        progress = Progress(attempt, position, run.settings, len(data.train.rows))
    monitor = Monitor(folder, ready, run.preferences, run.settings, run.row_tokens, progress, interruption)

    def save() -> None:
        progress.close()
        checkpoints.save(progress.position)

    interruption.save_first(save)
    with logging_redirect_tqdm(), closing(progress):
        loop(run, progress, checkpoints, monitor, interruption)
        interruption.preclude()
    resolved = structs.replace(job.training_config, warmup_steps=data.warmup_steps, max_seq_length=data.max_seq_length)
    position, settings = progress.position, job.training_config
    with interruption.deferred():
        attempt.begin_publishing()
        has_best = settings.keep == "best" and position.best_loss is not None
        keeps_best = has_best and best_adapter.load(folder, model, position.best_step)
        results = _results(position, keeps_best=keeps_best)
        job = structs.replace(job, lora_config=ready.lora_config, training_config=resolved)
        publish.build(folder, model, job, results, ready.chat)
    with interruption.deferred():
        name = publish.publish(root, folder, job)
        stopped_early = early_stopping.sentence(position, settings.early_stopping, data.total_steps)
        if stopped_early:
            log.info("%s", stopped_early)
        log.info("Completed: the adapter is adapters/%s", name)
        attempt.complete(name, stopped_early)


def make_run(ready: Ready, fitted: Fit, job: Job, preferred: Preferences | None) -> Run:
    trained = lora.trainable(ready.model)
    log.info("%s trained parameters", sum(parameter.numel() for parameter in trained.values()))
    return Run(
        ready.model,
        Optimizer(trained, paged_8bit=ready.setup.optimizer == "paged_adamw_8bit"),
        ready.data,
        job.training_config,
        job.seed,
        ready.summed_loss,
        fitted.row_tokens,
        ready.setup.device,
        preferred,
    )


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


def compute_gradients(run: Run, step: int) -> Step:
    """Of optimizer step `step` (from 0), over its documents. Raises ServiceError when the training diverged."""
    examples = run.data.train.rows
    indices = batches.examples_of_step(run.settings, len(examples), step, run.seed)
    taken = [document for index in indices for document in examples[index]]
    tokens = num_targets(taken)
    pairs = Figures()
    if run.preferences is None:
        total = torch.zeros((), device=run.device)
        for row in rows(taken, run.row_tokens):
            loss = run.summed_loss(row) / tokens
            loss.backward()
            total += loss.detach()
        step_loss = total.item()
    else:
        pairs = run.preferences.backward(indices, run.row_tokens)
        step_loss = pairs.mean("loss")
    grad_norm = run.optimizer.clip()
    if not (math.isfinite(step_loss) and math.isfinite(grad_norm)):
        raise ServiceError(
            f"The training diverged: at step {step + 1} the loss is {step_loss} and the gradient's norm {grad_norm}. "
            f"Lower learning_rate (it is {run.settings.learning_rate:g}), or raise warmup_steps"
        )
    learning_rate = learning_rate_at(step, run.settings.learning_rate, run.data.warmup_steps, run.data.total_steps)
    return Step(loss=step_loss, tokens=tokens, pairs=pairs, learning_rate=learning_rate, grad_norm=grad_norm)


def _results(position: Position, *, keeps_best: bool) -> Results:
    return Results(
        final_loss=position.train_loss,
        eval_loss=position.best_loss if keeps_best else position.eval_loss,
        best_step=position.best_step if keeps_best else None,
        training_steps=position.step,
        training_time_minutes=round(position.elapsed_s / 60, 2),
    )
