"""`python -m benchmarks.training`: Lathe's trainer against today's usual recipe, at equal work.

Makes a Llama of random weights and a job of real Python texts of mixed lengths, then trains the job in turn by the
usual recipe (`benchmarks/plain_recipe.py`) and by `python -m runtime.trainer`, each in a process of its own, round
after round. Both take the same examples a step, the same initial adapter and the same learning rates. Prints target
tokens a second of the whole loop, first step included; the process's peak of anonymous memory; and the losses.
"""

import argparse
import json
import shutil
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable
from pathlib import Path

import torch
from msgspec import Struct
from transformers import LlamaConfig, LlamaForCausalLM

from pretraining import corpus
from state import metrics
from state.jobs import JobFolder

CHECKOUT = Path(__file__).resolve().parent.parent
TOKENIZER = CHECKOUT / "models" / "tiny-python"
SIZES = {
    "20M": {"hidden_size": 256, "intermediate_size": 704, "num_hidden_layers": 6, "num_attention_heads": 4},
    "370M": {"hidden_size": 1024, "intermediate_size": 2816, "num_hidden_layers": 24, "num_attention_heads": 16},
}


class Result(Struct):
    """One run. `losses` are the steps'."""

    tokens_per_second: float
    peak_mb: float
    losses: list[float]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0] if __doc__ else None)
    parser.add_argument(
        "--model",
        choices=[*SIZES, "tiny-python"],
        default="370M",
        help="a size of random weights, or the bundled model, which can really learn (default: %(default)s)",
    )
    parser.add_argument("--rounds", type=int, default=5, help="runs of each engine (default: %(default)s)")
    parser.add_argument("--steps", type=int, default=4, help="optimizer steps a run (default: %(default)s)")
    parser.add_argument("--targets", choices=["q-and-v", "all-linear"], default="all-linear")
    parser.add_argument("--dropout", type=float, default=0.0, help="of LoRA (default: %(default)s)")
    options = parser.parse_args()
    root = Path(tempfile.mkdtemp(prefix="lathe-bench-"))
    try:
        make_model(root / "models" / "llama", options.model)
        engines: dict[str, Callable[[JobFolder], Result]] = {"plain": run_plain, "lathe": run_lathe}
        results: dict[str, list[Result]] = {name: [] for name in engines}
        for number in range(options.rounds):
            for name, run in engines.items():
                folder = make_job(root, f"{name}-{number}", options.steps, options.targets, options.dropout)
                results[name].append(run(folder))
                print(name, results[name][-1], flush=True)
        report(results)
    finally:
        shutil.rmtree(root)


def make_model(folder: Path, model: str) -> None:
    """A Llama with a vocabulary of 32,000 and random weights in bf16, or a copy of the bundled model."""
    if model not in SIZES:
        shutil.copytree(CHECKOUT / "models" / model, folder)
        return
    torch.manual_seed(0)
    shape = LlamaConfig(**SIZES[model], vocab_size=32_000, max_position_embeddings=2048, pad_token_id=1, eos_token_id=0)  # type: ignore[arg-type]
    LlamaForCausalLM(shape).bfloat16().save_pretrained(folder)
    for name in ("tokenizer.json", "tokenizer_config.json"):
        shutil.copy(TOKENIZER / name, folder)


def make_job(root: Path, name: str, steps: int, targets: str, dropout: float) -> JobFolder:
    """8 examples a step: short functions and long pieces of source, cut at 512 tokens."""
    documents = corpus.read().training
    texts = [text[:2500] for text in documents[:: max(1, len(documents) // (8 * steps))]][: 8 * steps]
    folder = JobFolder(root / "training_jobs" / name)
    folder.train_file.parent.mkdir(parents=True)
    (root / "adapters").mkdir(exist_ok=True)
    folder.train_file.write_text("".join(json.dumps({"text": text}) + "\n" for text in texts))
    modules = ["q_proj", "v_proj"] if targets == "q-and-v" else targets
    job = {
        "model_name": "llama",
        "lora_config": {"r": 8, "lora_alpha": 16, "lora_dropout": dropout, "target_modules": modules},
        "training_config": {
            "max_steps": steps,
            "batch_size": 8,
            "gradient_accumulation_steps": 1,
            "learning_rate": 1e-3,
            "warmup_steps": 0,
            "logging_steps": 1,
            "save_steps": 1_000_000,
            "max_seq_length": 512,
        },
    }
    folder.job_file.write_text(json.dumps(job))
    return folder


def run_plain(folder: JobFolder) -> Result:
    output, peak_mb = run_measured([sys.executable, "-m", "benchmarks.plain_recipe", str(folder.path)])
    lines = [json.loads(line) for line in output.splitlines() if line.startswith('{"step"')]
    tokens = token_count(folder)
    return Result(tokens / lines[-1]["elapsed_s"], peak_mb, [line["loss"] for line in lines])


def run_lathe(folder: JobFolder) -> Result:
    _, peak_mb = run_measured([sys.executable, "-m", "runtime.trainer", str(folder.path)])
    points = metrics.read(folder.metrics_file)
    elapsed_s = points[-1].elapsed_s or 0.0
    return Result(token_count(folder) / elapsed_s, peak_mb, [point.loss or 0.0 for point in points])


def token_count(folder: JobFolder) -> int:
    """Target tokens of the run: every example is taken once."""
    from runtime.models import load_tokenizer  # noqa: PLC0415
    from runtime.trainer.batches import tokenize  # noqa: PLC0415
    from state import examples  # noqa: PLC0415

    tokenizer = load_tokenizer(str(TOKENIZER))
    return sum(len(ids) - 1 for ids in tokenize(tokenizer, examples.read(folder.train_file), 512).examples)


def run_measured(command: list[str]) -> tuple[str, float]:
    """Run a command; its output, and its peak of anonymous resident memory in 2^20 bytes (mapped files left out)."""
    process = subprocess.Popen(command, cwd=CHECKOUT, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
    peak_kb = 0

    def watch() -> None:
        nonlocal peak_kb
        while process.poll() is None:
            peak_kb = max(peak_kb, anonymous_kb(process.pid))
            time.sleep(0.02)

    watcher = threading.Thread(target=watch)
    watcher.start()
    output, _ = process.communicate()
    watcher.join()
    if process.returncode != 0:
        sys.exit(f"{' '.join(command)} ended with {process.returncode}:\n{output[-3000:]}")
    return output, peak_kb / 1024


def anonymous_kb(pid: int) -> int:
    try:
        status = Path(f"/proc/{pid}/status").read_text()
    except (FileNotFoundError, ProcessLookupError):
        return 0
    return next((int(line.split()[1]) for line in status.splitlines() if line.startswith("RssAnon:")), 0)


def report(results: dict[str, list[Result]]) -> None:
    print("\n| engine | tokens/s, median (range) | peak MB, median (range) | last loss |\n| --- | --- | --- | --- |")
    for name, runs in results.items():
        speeds = [run.tokens_per_second for run in runs]
        peaks = [run.peak_mb for run in runs]
        print(f"| {name} | {shown(speeds)} | {shown(peaks)} | {runs[0].losses[-1]:.4f} |")
    plain, lathe = results["plain"], results["lathe"]
    ratios = [ours.tokens_per_second / theirs.tokens_per_second for ours, theirs in zip(lathe, plain, strict=True)]
    differences = [abs(ours - theirs) for ours, theirs in zip(lathe[0].losses, plain[0].losses, strict=True)]
    print(
        f"\nratio of a round's speeds: median {statistics.median(ratios):.2f}, {min(ratios):.2f} to {max(ratios):.2f}"
    )
    print(f"largest difference of a step's losses: {max(differences):.4f}")


def shown(values: list[float]) -> str:
    return f"{statistics.median(values):.0f} ({min(values):.0f} to {max(values):.0f})"


if __name__ == "__main__":
    main()
