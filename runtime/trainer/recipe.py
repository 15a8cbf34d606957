"""A training run, told in order: read the job, prepare the model, fit the machine, resume, loop, publish."""

import logging
import math
from contextlib import closing

import torch
from msgspec import Struct, structs
from peft import PeftModel
from tqdm.contrib.logging import logging_redirect_tqdm

from runtime.trainer import batches, lora, memory, publish
from runtime.trainer.attempt import Attempt
from runtime.trainer.checkpoint import Checkpoints, Position
from runtime.trainer.documents import num_targets
from runtime.trainer.fit import MB, Fit, rows
from runtime.trainer.interruption import Interruption
from runtime.trainer.loss import SummedLoss, mean_loss
from runtime.trainer.optimizer import Optimizer, learning_rate_at
from runtime.trainer.preferences import run as preferences
from runtime.trainer.preferences.figures import Figures
from runtime.trainer.preferences.learning import Preferences
from runtime.trainer.preparation import Data, Ready, prepare
from runtime.trainer.progress import Progress, Step
from state import jobs
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
    ready = prepare(root, job, jobs.train_rows(root, folder, job), jobs.eval_rows(folder, job), folder.tokens)

    data, model = ready.data, ready.model
    fitted = ready.fit()
    log.info(
        "Rows of up to %s tokens, gradient checkpointing: %s; about %.0f MB of the %.0f that there are",
        *(fitted.row_tokens, fitted.gradient_checkpointing, ready.peak(fitted) / MB, ready.memory / MB),
    )
    memory.enable_gradient_checkpointing(model, fitted.gradient_checkpointing)
    run = make_run(ready, fitted, job, preferences.of(job, ready, preferences.computed(root, job, ready, fitted)))
    checkpoints = Checkpoints(folder, model, run.optimizer, job.training_config.save_total_limit)
    position = checkpoints.restore()
    with interruption.deferred():
        progress = Progress(attempt, position, run.settings, len(data.train.rows))

    def save() -> None:
        progress.close()
        checkpoints.save(progress.position)

    interruption.save_first(save)
    with logging_redirect_tqdm(), closing(progress):
        loop(run, progress, checkpoints, interruption)
        interruption.preclude()
    resolved = structs.replace(job.training_config, warmup_steps=data.warmup_steps, max_seq_length=data.max_seq_length)
    _finish(root, attempt, structs.replace(job, training_config=resolved), ready, progress.position)


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


def loop(run: Run, progress: Progress, checkpoints: Checkpoints, interruption: Interruption) -> None:
    """Step by step to the end; evaluate and save every `save_steps` and at the end.

    Where a checkpoint was made between a step and its evaluation, the evaluation comes first.
    """
    data = run.data
    while True:
        position = progress.position
        is_due = position.step > 0 and (
            position.step % run.settings.save_steps == 0 or position.step == data.total_steps
        )
        if is_due and data.held_out and position.eval_step < position.step:
            eval_loss, pairs = evaluate(run)
            with interruption.deferred():
                progress.evaluated(eval_loss, pairs)
        if is_due:
            with interruption.deferred():
                checkpoints.save(progress.position)
        if position.step >= data.total_steps:
            return
        step = compute_gradients(run, position.step)
        with interruption.deferred(), checkpoints.updating():
            run.optimizer.step(step.learning_rate)
            progress.step(step)


def evaluate(run: Run) -> tuple[float | None, Figures | None]:
    """The loss over what is held out, and of preferences their figures. No loss where it is not a finite number."""
    if run.preferences is None:
        return mean_loss(run.model, run.summed_loss, run.data.held_out_documents(), run.row_tokens), None
    pairs = run.preferences.evaluate(run.model, run.row_tokens)
    loss = pairs.mean("loss")
    return (loss if math.isfinite(loss) else None), pairs


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


def _finish(root: DataRoot, attempt: Attempt, job: Job, ready: Ready, position: Position) -> None:
    results = Results(
        final_loss=position.train_loss,
        eval_loss=position.eval_loss,
        training_steps=position.step,
        training_time_minutes=round(position.elapsed_s / 60, 2),
    )
    publish.build(attempt.folder, ready.model, job, results, ready.chat)
    name = publish.publish(root, attempt.folder, job)
    log.info("Completed: the adapter is adapters/%s", name)
    attempt.complete(name)
