"""`python -m runtime.trainer.forecast`: forecasts what a job would take, without starting it.

Started by runtime/server/jobs/forecasting.py. It prepares the job as a trainer does, and runs a few of its steps to
time them. It ends at once when nobody waits for the answer any more.
"""

import time
from pathlib import Path

import psutil
from msgspec import structs

from runtime.messages.forecast import Forecast, Question
from runtime.model import libraries
from runtime.model.failures import DoesNotFit
from runtime.process import cpu, question
from state import initial_adapters, initial_sources
from state.job_rows import JobRows
from state.jobs import shorter
from state.root import DataRoot


def make_forecast(asked: Question) -> Forecast:
    """Raises ServiceError for what cannot be trained. That it does not fit is a forecast, too."""
    libraries.load()
    from runtime.trainer import lora, timing  # noqa: PLC0415  these import torch, which takes seconds
    from runtime.trainer.fit import MB  # noqa: PLC0415
    from runtime.trainer.preparation import prepare  # noqa: PLC0415

    job = asked.job
    root = DataRoot.at(Path(asked.root))
    scratch = Path(asked.scratch)
    init = None
    if job.init_adapter is not None:
        init = scratch / "init_adapter"
        initial_adapters.copy(initial_sources.find(root, job.init_adapter, job.model_name), init)
    ready = prepare(root, job, JobRows(asked.train, asked.held_out), scratch, init)
    start_s = time.time() - psutil.Process().create_time()
    data = ready.data
    forecast = Forecast(
        num_examples=len(data.train.rows),
        num_truncated=data.train.counts.num_cut,
        num_dropped=data.train.counts.num_dropped,
        num_eval_examples=len(data.held_out.rows) if data.held_out else 0,
        tokens_per_epoch=int(data.train.rows.lengths.sum()),
        learned_tokens_per_epoch=int(data.train.rows.targets.sum()),
        max_seq_length=data.max_seq_length,
        steps_per_epoch=len(data.steps),
        total_steps=data.total_steps,
        warmup_steps=data.warmup_steps,
        trained_parameters=sum(value.numel() for value in lora.trainable(ready.model).values()),
        device=ready.setup.device,
        dtype=ready.setup.dtype,
        available_memory_mb=round(ready.memory / MB, 1),
    )
    try:
        fitted = ready.fit()
    except DoesNotFit as error:
        return structs.replace(forecast, fits=False, advice=str(error), remedy=shorter(error.max_seq_length))
    training_s, tokens_per_second = timing.estimate(ready, fitted, job)
    return structs.replace(
        forecast,
        gradient_checkpointing=fitted.gradient_checkpointing,
        row_tokens=fitted.row_tokens,
        peak_memory_mb=round(ready.peak(fitted) / MB, 1),
        tokens_per_second=round(tokens_per_second, 1),
        estimated_minutes=round((start_s + training_s) / 60, 2),
    )


if __name__ == "__main__":
    cpu.prepare()
    question.serve(Question, make_forecast)
