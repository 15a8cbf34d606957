"""`python -m runtime.trainer.forecast`: forecasts what a job would take, without starting it.

Started by runtime/server/jobs/forecasting.py. It prepares the job as a trainer does, and runs a few of its steps to
time them. It ends at once when nobody waits for the answer any more.
"""

import time
from pathlib import Path
from typing import NoReturn

import psutil
from msgspec import structs

from runtime.messages.forecast import Answer, Forecast, Question
from runtime.model import libraries
from runtime.process import cpu, question
from runtime.process.exit import leave
from state.errors import ServiceError
from state.root import DataRoot


def main() -> NoReturn:
    cpu.prepare()
    asked = question.read(Question)
    try:
        answer = Answer(forecast=make_forecast(asked))
    except ServiceError as error:
        answer = Answer(error=str(error))
    question.answer(answer)
    leave(0)


def make_forecast(asked: Question) -> Forecast:
    """Raises ServiceError for what cannot be trained. That it does not fit is a forecast, too."""
    libraries.load()
    from runtime.trainer import lora, timing  # noqa: PLC0415  these import torch, which takes seconds
    from runtime.trainer.fit import MB  # noqa: PLC0415
    from runtime.trainer.preparation import prepare  # noqa: PLC0415

    job = asked.job
    ready = prepare(DataRoot.at(Path(asked.root)), job, asked.train_texts, asked.eval_texts)
    start_s = time.time() - psutil.Process().create_time()
    texts = ready.texts
    forecast = Forecast(
        num_examples=len(texts.train.examples),
        num_truncated=texts.train.num_cut,
        num_dropped=texts.train.num_dropped,
        tokens_per_epoch=sum(map(len, texts.train.examples)),
        max_seq_length=texts.max_seq_length,
        steps_per_epoch=len(texts.steps),
        total_steps=texts.total_steps,
        warmup_steps=texts.warmup_steps,
        trained_parameters=sum(value.numel() for value in lora.trainable(ready.model).values()),
        device=ready.setup.device,
        dtype=ready.setup.dtype,
        available_memory_mb=round(ready.memory / MB, 1),
    )
    try:
        fitted = ready.fit()
    except ServiceError as error:
        return structs.replace(forecast, fits=False, advice=str(error))
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
    main()
