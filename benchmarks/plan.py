"""`python -m benchmarks.plan`: what `POST /api/training/plan` foretells, beside what the jobs then take.

Asks a server for the plan of each job, starts the job, waits for its end, and prints peak memory and minutes of both.
"""

import argparse
import shutil
import tempfile
import time
from pathlib import Path
from typing import Any

import httpx
from msgspec import Struct

from benchmarks.server import server
from benchmarks.training import make_model
from pretraining import corpus
from state import metrics
from state.jobs import FINISHED, JobFolder

Settings = dict[str, Any]
JOBS: dict[str, tuple[str, int, Settings]] = {
    "tiny-python, short texts": ("tiny-python", 300, {"max_seq_length": 256, "batch_size": 8}),
    "tiny-python, long texts": ("tiny-python", 4000, {"max_seq_length": 1024, "batch_size": 4}),
    "370M, long texts": ("llama", 4000, {"max_seq_length": 1024, "batch_size": 2}),
    "370M, mixed texts": ("llama", 2500, {"max_seq_length": 512, "batch_size": 8}),
}
STEPS = {"tiny-python": 60, "llama": 8}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0] if __doc__ else None)
    parser.parse_args()
    root = Path(tempfile.mkdtemp(prefix="lathe-plan-"))
    try:
        make_model(root / "models" / "llama", "370M")
        print("| job | MB foretold | MB taken | ratio | minutes foretold | minutes taken | ratio |")
        print("| --- | --- | --- | --- | --- | --- | --- |")
        with server(root, [], "--no-spare-trainer") as http:
            for name, (model, length, settings) in JOBS.items():
                print(compare(http, root, request(model, length, settings)).row(name), flush=True)
    finally:
        shutil.rmtree(root)


def request(model: str, length: int, settings: Settings) -> Settings:
    """Real Python texts of at most so many characters: one epoch of STEPS steps."""
    steps = STEPS[model]
    texts = corpus.read().training[: steps * settings["batch_size"]]
    return {
        "model_name": model,
        "train_texts": [text[:length] for text in texts],
        "training_config": settings | {"gradient_accumulation_steps": 1, "num_epochs": 1, "logging_steps": 1},
        "lora_config": {"r": 8, "lora_alpha": 16, "target_modules": "all-linear"},
    }


class Compared(Struct, frozen=True):
    """What a plan foretold, and what the job took; memory in 2^20 bytes."""

    foretold_mb: float
    peak_mb: float
    foretold_minutes: float
    minutes: float

    def row(self, name: str) -> str:
        return (
            f"| {name} | {self.foretold_mb:.0f} | {self.peak_mb:.0f} | {self.foretold_mb / self.peak_mb:.2f} "
            f"| {self.foretold_minutes:.2f} | {self.minutes:.2f} | {self.foretold_minutes / self.minutes:.2f} |"
        )


def compare(http: httpx.Client, root: Path, body: Settings) -> Compared:
    """Ask for a job's plan, then start it, and wait for its end."""
    plan = http.post("/training/plan", json=body, timeout=600).raise_for_status().json()
    began = time.monotonic()
    job_id = http.post("/training/start", json=body).raise_for_status().json()["job_id"]
    wait_for_end(http, job_id)
    minutes = (time.monotonic() - began) / 60
    points = metrics.read(JobFolder(root / "training_jobs" / f"job_{job_id}").metrics_file)
    peak = max(point.memory_mb or 0.0 for point in points)
    return Compared(plan["peak_memory_mb"], peak, plan["estimated_minutes"], minutes)


def wait_for_end(http: httpx.Client, job_id: str) -> Settings:
    """The status that a job ended with."""
    while True:
        status: Settings = http.get(f"/training/status/{job_id}").raise_for_status().json()
        if status["status"] in FINISHED:
            return status
        time.sleep(0.1)


if __name__ == "__main__":
    main()
