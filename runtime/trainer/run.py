"""A run's steps: all that each of them needs, and its gradients. A plan times the same steps."""

import logging
import math

import torch
from msgspec import Struct
from peft import PeftModel

from runtime.trainer import batches, lora
from runtime.trainer.documents import num_targets
from runtime.trainer.fit import Fit, rows
from runtime.trainer.loss import SummedLoss
from runtime.trainer.optimizer import Optimizer, learning_rate_at
from runtime.trainer.preferences.figures import Figures
from runtime.trainer.preferences.learning import Preferences
from runtime.trainer.preparation import Data, Ready
from runtime.trainer.progress import Step
from runtime.trainer.sampling import Sampler
from state.config import TrainingConfig
from state.errors import ServiceError
from state.jobs import Job

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
    sampler: Sampler | None
    """Answers the sample prompts, where there are some."""


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
        ready.sampler,
    )


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
