"""Train a model of CodeLlama-7B's shape by QLoRA on this machine, and tell how much memory that takes.

Random weights (13.5 GB of them, made on the spot), a real trainer as the server would launch it. Resident memory is the
process's peak as the kernel counts it (VmHWM), from its start to its end: loading and quantizing included. The second
run finds the quantized base on disk.
"""

import argparse
import json
import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from benchmarks import bases
from benchmarks.server import CHECKOUT
from pretraining import corpus
from state import jobs, metrics
from state.jobs import JobFolder


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0] if __doc__ else None)
    parser.add_argument("--steps", type=int, default=2, help="optimizer steps (default: %(default)s)")
    parser.add_argument("--length", type=int, default=512, help="tokens a document at most (default: %(default)s)")
    parser.add_argument("--folder", type=Path, help="a data root that stays, model included (default: a temporary one)")
    options = parser.parse_args()
    root = options.folder or Path(tempfile.mkdtemp(prefix="lathe-7b-"))
    try:
        if not (root / "models" / "7b").exists():
            bases.make(root / "models" / "7b", bases.shape("7B"))
        for name in ("first", "second"):
            run(make_job(root, name, options.steps, options.length))
    finally:
        if options.folder is None:
            shutil.rmtree(root)


def make_job(root: Path, name: str, steps: int, length: int) -> JobFolder:
    """Rank 16 on all linear layers, 4 documents a step."""
    folder = JobFolder(root / "training_jobs" / f"job_{name}")
    shutil.rmtree(folder.path, ignore_errors=True)
    folder.train_file.parent.mkdir(parents=True)
    (root / "adapters").mkdir(exist_ok=True)
    texts = [text[: 8 * length] for text in corpus.read().training if len(text) > 8 * length][: 4 * steps]
    folder.train_file.write_text("".join(json.dumps({"text": text}) + "\n" for text in texts))
    job = {
        "model_name": "7b",
        "lora_config": {"r": 16, "lora_alpha": 32, "target_modules": "all-linear"},
        "training_config": {
            "max_steps": steps,
            "batch_size": 4,
            "max_seq_length": length,
            "logging_steps": 1,
            "gradient_accumulation_steps": 1,
        },
    }
    folder.job_file.write_text(json.dumps(job))
    return folder


def run(folder: JobFolder) -> None:
    """One trainer from its start to its end; prints what it took."""
    began = time.monotonic()
    process = subprocess.Popen(
        [sys.executable, "-m", "runtime.trainer", str(folder.path)], cwd=CHECKOUT, stdout=subprocess.DEVNULL
    )
    resident_mb = anonymous_mb = first_step_s = 0.0
    while process.poll() is None:
        memory = _memory_mb(process.pid)
        resident_mb = max(resident_mb, memory.get("VmHWM", 0.0))
        anonymous_mb = max(anonymous_mb, memory.get("RssAnon", 0.0))
        if not first_step_s and metrics.read(folder.metrics_file):
            first_step_s = time.monotonic() - began
        time.sleep(0.05)
    status = jobs.read_status(folder)
    rates = [point.tokens_per_second for point in metrics.read(folder.metrics_file) if point.tokens_per_second]
    print(
        f"{folder.path.name}: {status.status}, peak {resident_mb:.0f} MB resident ({anonymous_mb:.0f} anonymous), "
        f"first step done after {first_step_s:.1f} s, tokens/s a step {rates}",
        flush=True,
    )
    if status.error_message:
        print(status.error_message)


def _memory_mb(pid: int) -> dict[str, float]:
    try:
        lines = Path(f"/proc/{pid}/status").read_text().splitlines()
    except FileNotFoundError:
        return {}
    return {name: int(rest.split()[0]) / 1024 for name, rest in (line.split(":", 1) for line in lines) if " kB" in rest}


if __name__ == "__main__":
    main()
