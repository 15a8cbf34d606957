"""Job folders made by hand and trainers launched by hand, as a person does it."""

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

from runtime.model import libraries
from runtime.trainer.attempt import Attempt
from runtime.trainer.interruption import Interruption
from state import jobs, locks, metrics
from state.jobs import JobFolder
from state.root import DataRoot
from tests import processes
from tests.server import CHECKOUT, PATIENCE_S

libraries.load()  # before anything imports one of them whole, as a trainer does
from runtime.trainer.recipe import train  # noqa: E402

TEXTS = [
    f"### Instruction:\nName number {n}\n\n### Response:\nthis is number {n}, " + "la " * (n % 5) for n in range(12)
]
QUICK = {"learning_rate": 0.01, "num_epochs": 2, "batch_size": 2, "gradient_accumulation_steps": 2}


def make(root: Path, name: str = "job_toy", *, texts: list[str] = TEXTS, **fields: Any) -> JobFolder:
    """A job folder by hand: job.json and data/train.jsonl. Training takes 6 steps."""
    folder = root / "training_jobs" / name
    (folder / "data").mkdir(parents=True)
    (folder / "data" / "train.jsonl").write_text("".join(json.dumps({"text": text}) + "\n" for text in texts))
    training = QUICK | fields.pop("training_config", {})
    job = {"model_name": "toy", "training_config": training} | fields
    (folder / "job.json").write_text(json.dumps(job))
    (root / "adapters").mkdir(exist_ok=True)
    return JobFolder(folder)


def launch(folder: JobFolder, module: str = "runtime.trainer", *options: str) -> subprocess.Popen[str]:
    """`python -m runtime.trainer JOB_DIR`, its output kept."""
    command = [sys.executable, "-m", module, str(folder.path), *options]
    return processes.start(command, CHECKOUT)


def run(folder: JobFolder) -> tuple[int, str]:
    """Launch a trainer and wait for its end: exit code and output."""
    process = launch(folder)
    output, _ = process.communicate(timeout=PATIENCE_S)
    return process.returncode, output


def train_here(folder: JobFolder) -> None:
    """The same run in this process: two seconds of imports less. Raises what it raises.

    Without the lock a server would take the job for one whose trainer has died, and might write that over its end.
    """
    with locks.hold(folder.trainer_lock, PATIENCE_S):
        attempt = Attempt(folder)
        attempt.begin()
        train(DataRoot.at(folder.path.parent.parent), attempt, Interruption(folder))


def losses(folder: JobFolder) -> list[float | None]:
    return [point.loss for point in metrics.read(folder.metrics_file) if point.eval_loss is None]


def weights(folder: JobFolder) -> bytes:
    """The finished adapter's own bytes."""
    return (folder.adapter / "adapter_model.safetensors").read_bytes()


def status(folder: JobFolder) -> jobs.Status:
    return jobs.read_status(folder)
