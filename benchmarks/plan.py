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

from benchmarks.server import server
from benchmarks.training import make_model
from pretraining import corpus
from state import metrics
from state.jobs import JobFolder

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
                print(compared(http, root, name, request(model, length, settings)), flush=True)
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


def compared(http: httpx.Client, root: Path, name: str, body: Settings) -> str:
    """A row of the table."""
    plan = http.post("/training/plan", json=body, timeout=600).raise_for_status().json()
    began = time.monotonic()
    reply = http.post("/training/start", json=body).raise_for_status()
    folder = JobFolder(root / "training_jobs" / f"job_{reply.json()['job_id']}")
    status: Settings = {}
    while status.get("status") not in ("completed", "failed"):
        time.sleep(0.1)
        status = http.get(f"/training/status/{reply.json()['job_id']}").raise_for_status().json()
    minutes = (time.monotonic() - began) / 60
    points = metrics.read(folder.metrics_file)
    peak = max(point.memory_mb or 0.0 for point in points)
    foretold, foretold_minutes = plan["peak_memory_mb"], plan["estimated_minutes"]
    return (
        f"| {name} | {foretold:.0f} | {peak:.0f} | {foretold / peak:.2f} "
        f"| {foretold_minutes:.2f} | {minutes:.2f} | {foretold_minutes / minutes:.2f} |"
    )


if __name__ == "__main__":
    main()
