"""A training run, told in order: read the job, pick a device, load, tokenize, attach, resume, loop, publish."""

import logging
import math

import torch
from msgspec import Struct, structs
from peft import PeftModel
from tqdm.contrib.logging import logging_redirect_tqdm
from transformers import PreTrainedTokenizerBase

from runtime import device
from runtime.models import load_base, load_tokenizer
from runtime.trainer import attempt, batches, checkpoint, lora, publish
from runtime.trainer.fused_lora import fuse
from runtime.trainer.interruption import Interruption
from runtime.trainer.loss import SummedLoss, choose, mean_loss, num_targets
from runtime.trainer.optimizer import Optimizer, learning_rate_at
from runtime.trainer.progress import Progress, Step
from state import config, jobs, models
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
    examples: list[list[int]]
    held_out: list[list[int]]
    settings: TrainingConfig
    total_steps: int
    warmup_steps: int
    seed: int
    summed_loss: SummedLoss
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
    base_model = models.find(root, job.model_name)

    plan = device.pick()
    for reason in plan.reasons:
        log.info("%s", reason)
    source = str(base_model.folder or base_model.source)
    log.info("Loading %s in NF4 with double quantization", source)
    tokenizer = load_tokenizer(source)
    base = load_base(source, plan, root.quantized_bases)
    interruption.check()

    max_seq_length = config.resolved_max_seq_length(job.training_config, models.context_length(base.config.to_dict()))
    examples = _tokenize("train_texts", tokenizer, train_texts, max_seq_length)
    held_out = _tokenize("eval_texts", tokenizer, eval_texts, max_seq_length) if eval_texts else []
    config.check_max_steps(job.training_config)
    total_steps = config.total_steps(job.training_config, len(examples))
    warmup_steps = config.resolved_warmup_steps(job.training_config, total_steps)

    torch.manual_seed(job.seed)
    model = lora.attach(
        base, job.lora_config, job.model_name, base_model.source, checkpointing=plan.gradient_checkpointing
    )
    fuse(model)
    trained = lora.trainable(model)
    log.info("%s trained parameters, %s steps", sum(value.numel() for value in trained.values()), total_steps)
    optimizer = Optimizer(trained, paged_8bit=plan.optimizer == "paged_adamw_8bit")
    position = checkpoint.restore(folder, optimizer)

    run = Run(
        model,
        optimizer,
        examples,
        held_out,
        job.training_config,
        total_steps,
        warmup_steps,
        job.seed,
        choose(model, plan.device),
        plan.device,
    )
    with logging_redirect_tqdm(), Progress(folder, status, position, run.settings, len(examples)) as progress:
        loop(run, folder, progress, interruption)
    resolved = structs.replace(job.training_config, warmup_steps=warmup_steps, max_seq_length=max_seq_length)
    _finish(root, folder, structs.replace(job, training_config=resolved), model, progress)


def loop(run: Run, folder: JobFolder, progress: Progress, interruption: Interruption) -> None:
    """Step by step to the end; evaluate and save every `save_steps` and at the end."""
    for step in range(progress.position.step, run.total_steps):
        progress.step(take_step(run, step))
        is_due = (step + 1) % run.settings.save_steps == 0 or step + 1 == run.total_steps
        if is_due and run.held_out:
            progress.evaluated(mean_loss(run.model, run.summed_loss, run.held_out, run.settings.batch_size))
        if is_due or interruption.is_wanted():
            checkpoint.save(folder, run.model, run.optimizer, progress.position)
        interruption.check()


def take_step(run: Run, step: int) -> Step:
    """Optimizer step `step` (from 0) over its micro-batches. Raises ServiceError when the training diverged."""
    indices = batches.examples_of_step(run.settings, len(run.examples), step, run.seed)
    taken = [run.examples[index] for index in indices]
    tokens = num_targets(taken)
    total = torch.zeros((), device=run.device)
    for first in range(0, len(taken), run.settings.batch_size):
        loss = run.summed_loss(taken[first : first + run.settings.batch_size]) / tokens
        loss.backward()
        total += loss.detach()
    step_loss, grad_norm = total.item(), run.optimizer.clip()
    if not (math.isfinite(step_loss) and math.isfinite(grad_norm)):
        raise ServiceError(
            f"The training diverged: at step {step + 1} the loss is {step_loss} and the gradient's norm {grad_norm}. "
            f"Lower learning_rate (it is {run.settings.learning_rate:g}), or raise warmup_steps"
        )
    learning_rate = learning_rate_at(step, run.settings.learning_rate, run.warmup_steps, run.total_steps)
    run.optimizer.step(learning_rate)
    return Step(loss=step_loss, tokens=tokens, learning_rate=learning_rate, grad_norm=grad_norm)


def _tokenize(field: str, tokenizer: PreTrainedTokenizerBase, texts: list[str], max_seq_length: int) -> list[list[int]]:
    tokenized = batches.tokenize(tokenizer, texts, max_seq_length)
    if tokenized.num_cut:
        log.warning("%s: %s texts are longer than %s tokens and were cut", field, tokenized.num_cut, max_seq_length)
    if tokenized.num_dropped:
        log.warning("%s: %s texts have fewer than two tokens and were left out", field, tokenized.num_dropped)
    if not tokenized.examples:
        raise ServiceError(f"{field} holds no text of two tokens or more: there is nothing to predict")
    return tokenized.examples


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
