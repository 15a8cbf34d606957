"""A training run, told in order: read the job, prepare the model, fit the machine, resume, loop, publish."""

import logging
import math

import torch
from msgspec import Struct, structs
from peft import PeftModel
from tqdm.contrib.logging import logging_redirect_tqdm

from runtime.trainer import attempt, batches, checkpoint, lora, memory, publish
from runtime.trainer.fit import MB, Fit, rows
from runtime.trainer.interruption import Interruption
from runtime.trainer.loss import SummedLoss, mean_loss, num_targets
from runtime.trainer.optimizer import Optimizer, learning_rate_at
from runtime.trainer.preparation import Ready, Texts, prepare
from runtime.trainer.progress import Progress, Step
from state import jobs
from state.adapters import Results
from state.config import TrainingConfig
from state.errors import ServiceError
from state.jobs import Job, JobFolder
from state.root import DataRoot

log = logging.getLogger("trainer")


class Run(Struct, frozen=True):
    """All that the loop needs, ready."""

    model: PeftModel
    optimizer: Optimizer
    texts: Texts
    settings: TrainingConfig
    seed: int
    summed_loss: SummedLoss
    row_tokens: int
    device: str


def train(root: DataRoot, folder: JobFolder, interruption: Interruption) -> None:
    """Train the job's adapter and publish it. The caller holds the folder's trainer.lock.

    Raises ServiceError and whatever torch raises when it fails, Cancelled or Terminated when it is interrupted; a
    checkpoint of the last whole step is then on disk.
    """
    job = jobs.read_job(folder)
    status = attempt.begin(folder)
    train_texts, eval_texts = jobs.train_texts(root, folder, job), jobs.eval_texts(folder, job)
    publish.check(root, job)
    ready = prepare(root, job, train_texts, eval_texts)
    interruption.check()

    texts, model = ready.texts, ready.model
    fitted = ready.fit()
    log.info(
        "Rows of up to %s tokens, gradient checkpointing of %s: about %.0f MB of the %.0f that there are",
        *(fitted.row_tokens, fitted.checkpointing, ready.peak(fitted) / MB, ready.memory / MB),
    )
    memory.checkpoint(model, fitted.checkpointing)
    run = make_run(ready, fitted, job)
    position = checkpoint.restore(folder, run.optimizer)
    num_examples = len(texts.train.examples)
    with logging_redirect_tqdm(), Progress(folder, status, position, run.settings, num_examples) as progress:
        loop(run, folder, progress, interruption)
    resolved = structs.replace(
        job.training_config, warmup_steps=texts.warmup_steps, max_seq_length=texts.max_seq_length
    )
    _finish(root, folder, structs.replace(job, training_config=resolved), model, progress)


def make_run(ready: Ready, fitted: Fit, job: Job) -> Run:
    trained = lora.trainable(ready.model)
    log.info("%s trained parameters", sum(parameter.numel() for parameter in trained.values()))
    return Run(
        ready.model,
        Optimizer(trained, paged_8bit=ready.plan.optimizer == "paged_adamw_8bit"),
        ready.texts,
        job.training_config,
        job.seed,
        ready.summed_loss,
        fitted.row_tokens,
        ready.plan.device,
    )


def loop(run: Run, folder: JobFolder, progress: Progress, interruption: Interruption) -> None:
    """Step by step to the end; evaluate and save every `save_steps` and at the end."""
    total_steps = run.texts.total_steps
    for step in range(progress.position.step, total_steps):
        progress.step(take_step(run, step))
        is_due = (step + 1) % run.settings.save_steps == 0 or step + 1 == total_steps
        if is_due and run.texts.held_out:
            progress.evaluated(mean_loss(run.model, run.summed_loss, run.texts.held_out, run.row_tokens))
        if is_due or interruption.is_wanted():
            checkpoint.save(folder, run.model, run.optimizer, progress.position)
        interruption.check()


def take_step(run: Run, step: int) -> Step:
    """Optimizer step `step` (from 0) over its rows. Raises ServiceError when the training diverged."""
    examples = run.texts.train.examples
    taken = [examples[index] for index in batches.examples_of_step(run.settings, len(examples), step, run.seed)]
    tokens = num_targets(taken)
    total = torch.zeros((), device=run.device)
    for row in rows(taken, run.row_tokens):
        loss = run.summed_loss(row) / tokens
        loss.backward()
        total += loss.detach()
    step_loss, grad_norm = total.item(), run.optimizer.clip()
    if not (math.isfinite(step_loss) and math.isfinite(grad_norm)):
        raise ServiceError(
            f"The training diverged: at step {step + 1} the loss is {step_loss} and the gradient's norm {grad_norm}. "
            f"Lower learning_rate (it is {run.settings.learning_rate:g}), or raise warmup_steps"
        )
    learning_rate = learning_rate_at(step, run.settings.learning_rate, run.texts.warmup_steps, run.texts.total_steps)
    run.optimizer.step(learning_rate)
    return Step(loss=step_loss, tokens=tokens, learning_rate=learning_rate, grad_norm=grad_norm)


def _finish(root: DataRoot, folder: JobFolder, job: Job, model: PeftModel, progress: Progress) -> None:
    position = progress.position
    results = Results(
        final_loss=position.train_loss,
        eval_loss=position.eval_loss,
        training_steps=position.step,
        training_time_minutes=round(position.elapsed_s / 60, 2),
    )
    publish.build(folder, model, job, results)
    name = publish.publish(root, folder, job)
    progress.complete(name)
    log.info("Completed: the adapter is adapters/%s", name)
