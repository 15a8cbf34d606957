"""What a check is given, and jobs for it to train. Torch is imported by the checks themselves."""

import json
import os
import subprocess
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from benchmarks.server import CHECKOUT
from state import metrics
from state.jobs import JobFolder
from state.metrics import Point

Training = Mapping[str, str | int | float]
"""Of a job's training_config."""


class Failed(Exception):
    """What was checked is not so."""


class Skipped(Exception):
    """It cannot be checked here, or is not worth it."""


@dataclass(frozen=True)
class Setting:
    """`folder` is the check's own, and may be a data root; the one above it is the whole run's."""

    folder: Path
    left_s: float

    @property
    def shared(self) -> Path:
        return self.folder.parent

    def job(self, name: str) -> JobFolder:
        return JobFolder(self.folder / "training_jobs" / name)

    def need_gpu(self, why: str) -> None:
        import torch  # noqa: PLC0415

        if not torch.cuda.is_available():
            raise Skipped(f"there is no GPU: {why}")


def texts() -> list[str]:
    """The demo's examples."""
    lines = (CHECKOUT / "demo" / "instructions.jsonl").read_text().splitlines()
    return [json.loads(line)["text"] for line in lines]


def make_job(
    folder: JobFolder, examples: list[str], training: Training, *, model: str = "tiny-python", dropout: float = 0.0
) -> JobFolder:
    """A job as a person makes it by hand: rank 8 on all linear layers, a line of metrics a step."""
    folder.train_file.parent.mkdir(parents=True)
    (folder.path.parent.parent / "adapters").mkdir(exist_ok=True)
    folder.train_file.write_text("".join(json.dumps({"text": text}) + "\n" for text in examples))
    steps = {"gradient_accumulation_steps": 1, "logging_steps": 1, "warmup_steps": 0}
    lora = {"r": 8, "lora_alpha": 16, "lora_dropout": dropout, "target_modules": "all-linear"}
    job = {"model_name": model, "lora_config": lora, "training_config": steps | dict(training)}
    folder.job_file.write_text(json.dumps(job))
    return folder


def train(folder: JobFolder, environment: Mapping[str, str] = os.environ) -> list[Point]:
    """Train a job to its end; its curve. Raises Failed."""
    with trainer(folder, environment) as process:
        code = process.wait()
    if code != 0:
        print(folder.log_file.read_text(), file=sys.stderr)
        raise Failed(f"the trainer ended with {code}: {folder.log_file.read_text().strip().splitlines()[-1][:200]}")
    return metrics.read(folder.metrics_file)


@contextmanager
def trainer(folder: JobFolder, environment: Mapping[str, str] = os.environ) -> Iterator[subprocess.Popen[bytes]]:
    """A trainer at work; it ends with the block."""
    command = [sys.executable, "-m", "runtime.trainer", str(folder.path)]
    process = subprocess.Popen(command, cwd=CHECKOUT, env=environment)
    try:
        yield process
    finally:
        process.kill()
        process.wait()
