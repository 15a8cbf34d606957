"""What a run tells while it lasts: the moment in status.json, the curve in metrics.jsonl, both to the console.

`report_to` has others follow the curve.
"""

import logging
import resource
import sys
import time
from datetime import datetime, timedelta
from pathlib import Path

import torch
from msgspec import Struct, structs
from tqdm import tqdm

from runtime.trainer import early_stopping
from runtime.trainer.attempt import Attempt
from runtime.trainer.checkpoint import Position
from runtime.trainer.console import is_terminal
from runtime.trainer.evaluation import Evaluated
from runtime.trainer.pace import Pace
from runtime.trainer.preferences.figures import Figures
from runtime.trainer.reports import Reports
from state import clock, metrics
from state.config import TrainingConfig, steps_between_evaluations, steps_per_epoch, total_steps
from state.jobs import Losses, Status

STATUS_EVERY_S = 0.2  # a write is a flush to the disk: fast steps share one
MOST_BEFORE_THE_END = 99.9  # percent; 100 is for a published adapter

log = logging.getLogger("trainer")


class Step(Struct, frozen=True, kw_only=True):
    """What one optimizer step measured. `loss` is the mean over `tokens` target tokens, in nats, or over `pairs`."""

    loss: float
    tokens: int
    pairs: Figures = Figures()
    """Of preferences."""
    learning_rate: float
    grad_norm: float


class Progress:
    """Counts steps from a position on."""

    def __init__(
        self, attempt: Attempt, position: Position, settings: TrainingConfig, num_examples: int, reports: Reports
    ) -> None:
        """Has `reports` started."""
        self._attempt = attempt
        self._reports = reports
        self._metrics_file = attempt.folder.metrics_file
        self._total_steps = total_steps(settings, num_examples)
        self._steps_per_epoch = steps_per_epoch(settings, num_examples)
        self._logging_steps = settings.logging_steps
        self._stopping = settings.early_stopping
        self._position = position
        self._began = self._line_began = time.monotonic()
        self._elapsed_before = position.elapsed_s
        self._pace = Pace(position.step, self._total_steps, steps_between_evaluations(settings), settings.save_steps)
        self._bar: tqdm[None] = tqdm(
            total=self._total_steps, initial=position.step, unit="step", disable=not is_terminal(), dynamic_ncols=True
        )
        metrics.rewind(self._metrics_file, position.step)
        reports.start()
        self._write_status(structs.replace(self._after(position), current_loss=None, learning_rate=None))

    def close(self) -> None:
        """Leave the terminal to what is said next."""
        self._bar.close()

    @property
    def position(self) -> Position:
        return structs.replace(self._position, elapsed_s=self._elapsed_s())

    def step(self, taken: Step) -> None:
        """Count one optimizer step; log it where `logging_steps` says so, and the first and the last one always."""
        before = self._position
        self._position = structs.replace(
            before,
            step=before.step + 1,
            tokens=before.tokens + taken.tokens,
            unlogged_loss=before.unlogged_loss + taken.loss * taken.tokens,
            unlogged_tokens=before.unlogged_tokens + taken.tokens,
            unlogged_pairs=before.unlogged_pairs + taken.pairs,
        )
        self._pace.stepped()
        number = self._position.step
        if number in (1, self._total_steps) or number % self._logging_steps == 0:
            self._log(taken)
        self._reports.look()
        status = structs.replace(
            self._after(self._position), current_loss=taken.loss, learning_rate=taken.learning_rate
        )
        self._bar.set_postfix_str(f"loss {taken.loss:.4f}", refresh=False)
        self._bar.update()
        if time.monotonic() - self._status_written >= STATUS_EVERY_S or number == self._total_steps:
            self._write_status(status)
        else:
            self._attempt.status = status

    def evaluated(self, found: Evaluated) -> None:
        """Count an evaluation that was made after the last step."""
        self._position = early_stopping.judged(self._position, found.loss, self._stopping)
        number = self._position.step
        point = metrics.Point(
            step=number, epoch=self._epoch(), eval_loss=found.loss, eval_token_accuracy=found.token_accuracy
        )
        metrics.append(self._metrics_file, structs.replace(point, **found.pairs.of_evaluation()))
        is_best = " (the lowest so far)" if self._position.best_step == number else ""
        log.info("step %d/%d  eval loss %s%s", number, self._total_steps, _shown(found.loss), is_best)
        self._write_status(structs.replace(self._attempt.status, metrics=Losses(self._position.train_loss, found.loss)))

    def _log(self, taken: Step) -> None:
        tokens, pairs = self._position.unlogged_tokens, self._position.unlogged_pairs
        loss = pairs.mean("loss") if pairs.pairs else self._position.unlogged_loss / tokens
        now = time.monotonic()
        tokens_per_second = round(tokens / max(now - self._line_began, 1e-9), 1)
        memory_mb = round(peak_memory_mb(), 1)
        self._attempt.status = structs.replace(
            self._attempt.status, tokens_per_second=tokens_per_second, memory_mb=memory_mb
        )
        self._line_began = now
        self._position = structs.replace(
            self._position, unlogged_loss=0.0, unlogged_tokens=0, unlogged_pairs=Figures(), train_loss=loss
        )
        metrics.append(
            self._metrics_file,
            metrics.Point(
                step=self._position.step,
                epoch=self._epoch(),
                loss=loss,
                learning_rate=taken.learning_rate,
                grad_norm=taken.grad_norm,
                tokens=tokens,
                tokens_per_second=tokens_per_second,
                memory_mb=memory_mb,
                elapsed_s=round(self._elapsed_s(), 3),
                **pairs.of_training(),
            ),
        )
        log.info(
            "step %d/%d  loss %.4f  learning rate %.2e  %.0f tokens/s  %s left",
            self._position.step,
            self._total_steps,
            loss,
            taken.learning_rate,
            tokens_per_second,
            _shown_time(self._pace.left_s()),
        )

    def _after(self, position: Position) -> Status:
        percent = min(100 * position.step / self._total_steps, MOST_BEFORE_THE_END)
        return structs.replace(
            self._attempt.status,
            progress=round(percent, 2),
            current_step=position.step,
            total_steps=self._total_steps,
            epoch=self._epoch(),
            tokens=position.tokens,
            ends_at=self._ends_at(),
            message=self._attempt.note,
            metrics=Losses(position.train_loss, position.eval_loss),
        )

    def _write_status(self, status: Status) -> None:
        self._attempt.write(status)
        self._status_written = time.monotonic()

    def _epoch(self) -> float:
        return round(self._position.step / self._steps_per_epoch, 4)

    def _elapsed_s(self) -> float:
        return self._elapsed_before + time.monotonic() - self._began

    def _ends_at(self) -> datetime | None:
        left_s = self._pace.left_s()
        return None if left_s is None else clock.now() + timedelta(seconds=left_s)


def peak_memory_mb() -> float:
    """The process's peak so far in 2^20 bytes: the allocator's on CUDA and MPS, resident memory on a CPU."""
    if torch.cuda.is_available():
        return torch.cuda.max_memory_allocated() / 2**20
    if torch.backends.mps.is_available():
        return torch.mps.driver_allocated_memory() / 2**20
    if sys.platform == "linux":
        # not getrusage's: that one begins with the memory of the process that launched this one
        status = Path("/proc/self/status").read_text()
        return int(status.split("VmHWM:", 1)[1].split(maxsplit=1)[0]) / 2**10
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20  # bytes on a Mac


def _shown(loss: float | None) -> str:
    return "is not a number" if loss is None else f"{loss:.4f}"


def _shown_time(seconds: float | None) -> str:
    return "?" if seconds is None else tqdm.format_interval(seconds)
