"""Estimates training time by running a few steps. They change the model."""

import time

from runtime.trainer import batches, memory
from runtime.trainer.documents import Document, whole
from runtime.trainer.fit import Fit
from runtime.trainer.preferences import run as preferences
from runtime.trainer.preparation import Data, Ready
from runtime.trainer.recipe import Run, compute_gradients, make_run
from state.jobs import Job

SAMPLE_TOKENS = 128
LONG_STEP_S = 15.0  # a step that takes longer is judged by a row of SAMPLE_TOKENS
ENOUGH_S = 3.0
FORWARD_SHARE = 1 / 3  # of a training's work, which is also what an evaluation does


def estimate(ready: Ready, fitted: Fit, job: Job) -> tuple[float, float]:
    """The seconds of the job's steps, evaluations and reference, and its target tokens a second."""
    memory.enable_gradient_checkpointing(ready.model, fitted.gradient_checkpointing)
    data = ready.data
    sample = [_sample(data)]
    token_s = min(_row_s(ready, sample), _row_s(ready, sample)) / len(sample[0])
    # what is computed, learned or not, takes the time
    lengths = [int(step.sum()) for step in data.step_lengths]
    learned = sum(data.step_targets) / sum(lengths)
    mean_step = sum(lengths) / len(lengths)
    if token_s * max(lengths) <= LONG_STEP_S:
        token_s = _seconds_a_token(ready, fitted, job)
    evaluations = -(-data.total_steps // job.training_config.save_steps)
    held_out = int(data.held_out.rows.lengths.sum()) if data.held_out else 0
    reference = int(data.train.rows.lengths.sum()) + held_out if data.are_pairs else 0
    forwards = (evaluations * held_out + reference) * FORWARD_SHARE
    return token_s * (data.total_steps * mean_step + forwards), learned / token_s


def _sample(data: Data) -> Document:
    """The beginning of the longest document, learned whole."""
    rows = data.train.rows
    row = int(rows.first_documents.searchsorted(rows.lengths.argmax(), side="right")) - 1
    longest = max(rows[row], key=len)
    return whole(longest.tokens[:SAMPLE_TOKENS])


def _seconds_a_token(ready: Ready, fitted: Fit, job: Job) -> float:
    """By whole steps, the optimizer's part included."""
    run = make_run(ready, fitted, job, preferences.of(job, ready, preferences.none))
    _take_step(run, 0)  # the first step makes what later ones find made
    tokens, seconds = 0, 0.0
    for step in range(1, max(2, ready.data.total_steps)):
        began = time.monotonic()
        tokens += _take_step(run, step)
        seconds += time.monotonic() - began
        if seconds >= ENOUGH_S:
            break
    return seconds / tokens


def _take_step(run: Run, step: int) -> int:
    """Its tokens, learned or not."""
    run.optimizer.step(compute_gradients(run, step).learning_rate)
    rows = run.data.train.rows
    taken = batches.examples_of_step(run.settings, len(rows), step, run.seed)
    return sum(len(document) for row in taken for document in rows[row])


def _row_s(ready: Ready, documents: list[Document]) -> float:
    began = time.monotonic()
    ready.summed_loss(documents).backward()
    return time.monotonic() - began
