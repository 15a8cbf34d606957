"""Estimates training time by running a few steps. They change the model."""

import time

from runtime.trainer import batches, memory
from runtime.trainer.documents import Document, whole
from runtime.trainer.fit import Fit
from runtime.trainer.loss import evaluating
from runtime.trainer.preferences import run as preferences
from runtime.trainer.preparation import Data, Ready
from runtime.trainer.run import Run, compute_gradients, make_run
from runtime.trainer.sampling import greedy_answer
from state.config import steps_between_evaluations
from state.jobs import Job

SAMPLE_TOKENS = 128
LONG_STEP_S = 15.0  # a step that takes longer is judged by a row of SAMPLE_TOKENS
ENOUGH_S = 3.0
SAMPLED_TOKENS = 4  # of an answer, to time one
FORWARD_SHARE = 1 / 3  # of a training's work, which is also what an evaluation does


def estimate(ready: Ready, fitted: Fit, job: Job) -> tuple[float, float]:
    """The seconds of the job's steps, evaluations, samples and reference, and its target tokens a second."""
    memory.enable_gradient_checkpointing(ready.model, fitted.gradient_checkpointing)
    data = ready.data
    sample = [_sample(data)]
    token_s = min(_row_s(ready, sample), _row_s(ready, sample)) / len(sample[0])
    # what is computed, learned or not, takes the time
    lengths = data.steps.tokens
    learned = int(data.steps.targets.sum()) / int(lengths.sum())
    mean_step = int(lengths.sum()) / len(lengths)
    if token_s * data.longest_step <= LONG_STEP_S:
        token_s = _seconds_a_token(ready, fitted, job)
    evaluations = -(-data.total_steps // steps_between_evaluations(job.training_config))
    held_out = int(data.held_out.rows.lengths.sum()) if data.held_out else 0
    reference = int(data.train.rows.lengths.sum()) + held_out if data.are_pairs else 0
    forwards = (evaluations * held_out + reference) * FORWARD_SHARE
    sampled_s = (1 + evaluations) * _sampling_s(ready)
    return token_s * (data.total_steps * mean_step + forwards) + sampled_s, learned / token_s


def _sample(data: Data) -> Document:
    """The beginning of the longest document, learned whole."""
    rows = data.train.rows
    row = int(rows.first_documents.searchsorted(rows.lengths.argmax(), side="right")) - 1
    longest = max(rows[row], key=len)
    return whole(longest.tokens[:SAMPLE_TOKENS])


def _seconds_a_token(ready: Ready, fitted: Fit, job: Job) -> float:
    """By whole steps, the optimizer's part included."""
    run = make_run(ready, fitted, job, preferences.to_be_timed(job, ready))
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
    return sum(map(rows.num_tokens, batches.examples_of_step(run.settings, len(rows), step, run.seed)))


def _row_s(ready: Ready, documents: list[Document]) -> float:
    began = time.monotonic()
    ready.summed_loss(documents).backward()
    return time.monotonic() - began


def _sampling_s(ready: Ready) -> float:
    """Of all sample prompts once, if no answer ends by itself."""
    sampler = ready.sampler
    if sampler is None:
        return 0.0
    few = min(SAMPLED_TOKENS, sampler.max_new_tokens)
    began = time.monotonic()
    with evaluating(ready.model):
        tokens = greedy_answer(ready.model.get_base_model(), sampler.prompt_tokens[0], sampler.end_tokens, few)
    return (time.monotonic() - began) / len(tokens) * len(sampler.prompts) * sampler.max_new_tokens
