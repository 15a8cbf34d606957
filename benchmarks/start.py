"""`python -m benchmarks.start`: from the request that starts a job to its first optimizer step.

Two servers, one with a spare trainer and one without, get the same job of one step in turn: with tiny-python, and with
a Llama of 370M random parameters, whose quantized copy is made by a job before the first round. Then how long that
Llama takes to load: quantized by the first process, mapped from its copy by the next. Prints seconds, medians and
ranges.
"""

import argparse
import shutil
import subprocess
import sys
import tempfile
import time
from contextlib import ExitStack
from pathlib import Path

import httpx

from benchmarks.server import CHECKOUT, server
from benchmarks.training import make_model, shown
from state import metrics
from state.jobs import JobFolder

SPARE_READY_S = 10.0  # its imports take about 2 s of an idle machine
LOAD = """
import sys, time
from pathlib import Path
from runtime.process import cpu
cpu.prepare()
from runtime.model import bases, device
import transformers.integrations.bitsandbytes, transformers.models.llama.modeling_llama
began = time.monotonic()
bases.load_base(sys.argv[1], device.pick(), Path(sys.argv[2]))
print(time.monotonic() - began)
"""
MODELS = {"tiny-python": "tiny-python", "llama": "370M"}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0] if __doc__ else None)
    parser.add_argument("--rounds", type=int, default=5, help="starts of each kind (default: %(default)s)")
    rounds = parser.parse_args().rounds
    root = Path(tempfile.mkdtemp(prefix="lathe-start-"))
    taken: dict[tuple[str, str], list[float]] = {}
    try:
        make_model(root / "warm" / "models" / "llama", "370M")
        shutil.copytree(root / "warm", root / "cold")
        with ExitStack() as open_servers:
            servers = {
                "warm": open_servers.enter_context(server(root / "warm", [])),
                "cold": open_servers.enter_context(server(root / "cold", [], "--no-spare-trainer")),
            }
            for number in range(rounds + 1):
                for kind, http in servers.items():
                    for model, size in MODELS.items():
                        time.sleep(SPARE_READY_S)
                        seconds = first_step_s(http, root / kind, model)
                        if number > 0:
                            taken.setdefault((size, kind), []).append(seconds)
        loads = [load_s(root / "cold" / "models" / "llama", root / f"bases-{at // 2}") for at in range(2 * rounds)]
    finally:
        shutil.rmtree(root)
    for (model, kind), values in taken.items():
        print(f"{model}, {kind}: {shown(values, 2)} s")
    print(f"370M, loaded and quantized: {shown(loads[::2], 2)} s; loaded from its copy: {shown(loads[1::2], 2)} s")


def first_step_s(http: httpx.Client, root: Path, model: str) -> float:
    """Start a job of one step and wait for the step."""
    body = {"model_name": model, "train_texts": ["def add(a, b):\n    return a + b"] * 4}
    began = time.monotonic()
    reply = http.post("/training/start", json=body | {"training_config": {"max_steps": 1}}).raise_for_status()
    folder = JobFolder(root / "training_jobs" / f"job_{reply.json()['job_id']}")
    while not metrics.read(folder.metrics_file):
        time.sleep(0.005)
    seconds = time.monotonic() - began
    while folder.is_training():
        time.sleep(0.05)
    return seconds


def load_s(source: Path, cache: Path) -> float:
    """In a process of its own, imports behind it."""
    command = [sys.executable, "-c", LOAD, str(source), str(cache)]
    done = subprocess.run(command, cwd=CHECKOUT, capture_output=True, text=True, check=True)
    return float(done.stdout)


if __name__ == "__main__":
    main()
