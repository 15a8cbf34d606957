"""`python -m benchmarks.preferences`: Lathe's training on preferences against TRL's DPOTrainer, at equal work.

Makes a Llama of random weights and a job of pairs: pieces of real Python sources of mixed lengths, each with the true
continuation and another one. TRL trains it in an environment of its own under `.cache`, as it is by default and with
its reference computed beforehand (`benchmarks/trl_dpo_recipe.py`), and so does `python -m runtime.trainer`, each in a
process of its own, round after round. All take the same pairs, the same initial adapter and the same learning rates.
Prints pairs a second of the reference and the whole loop together; the process's peak of anonymous memory, on a GPU the
allocator's; and the losses. `--write` puts it all into docs/performance.md.
"""

import argparse
import json
import re
import shutil
import sys
import tempfile
import textwrap
from collections.abc import Callable
from functools import partial
from pathlib import Path

import torch
from msgspec import Struct

from benchmarks import peers
from benchmarks.bases import SIZES, TOKENIZER
from benchmarks.document import write
from benchmarks.training import make_model, run_measured, shown
from pretraining import corpus
from runtime.model.tokenizers import load_tokenizer
from state import metrics
from state.jobs import JobFolder

PAIRS = 8  # a step
PROMPT = "### Instruction:\nGo on\n{}\n### Response:\n"


class Result(Struct):
    """One run. `losses` are the steps'."""

    pairs_per_second: float
    peak_mb: float
    losses: list[float]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0] if __doc__ else None)
    parser.add_argument("--model", choices=[*SIZES, "tiny-python"], default="370M")
    parser.add_argument("--rounds", type=int, default=3, help="runs of each engine (default: %(default)s)")
    parser.add_argument("--steps", type=int, default=3, help="optimizer steps a run (default: %(default)s)")
    parser.add_argument("--length", type=int, default=512, help="tokens an answer and its prompt have at most")
    parser.add_argument("--write", action="store_true", help="put the results into docs/performance.md")
    options = parser.parse_args()
    root = Path(tempfile.mkdtemp(prefix="lathe-bench-"))
    try:
        make_model(root / "models" / "llama", options.model)
        trl = [str(peers.python()), "-m", "benchmarks.trl_dpo_recipe"]
        engines: dict[str, Callable[[JobFolder], Result]] = {
            "trl": partial(run_trl, trl, []),
            "trl, precomputed": partial(run_trl, trl, ["--precompute"]),
            "lathe": run_lathe,
        }
        rows = pairs(options.steps * PAIRS, options.length)
        results: dict[str, list[Result]] = {name: [] for name in engines}
        for number in range(options.rounds):
            for name, run in engines.items():
                folder = make_job(root, f"{name.replace(', ', '-')}-{number}", rows, options)
                results[name].append(run(folder))
                print(name, results[name][-1], flush=True)
        text = report(results)
        print(f"\n{text}")
        if options.write:
            write("preferences", options.model, text)
    finally:
        shutil.rmtree(root)


def pairs(number: int, length: int) -> list[dict[str, str]]:
    """A third of each piece of source is the prompt, and the rest chosen; rejected is the rest of another piece."""
    tokenizer = load_tokenizer(str(TOKENIZER))
    sources = corpus.read().training
    taken = sources[:: max(1, len(sources) // number)][:number]
    most = length - len(tokenizer(PROMPT)["input_ids"]) - 8
    cut = [str(tokenizer.decode(tokenizer(text)["input_ids"][:most])) for text in taken]
    third = [len(text) // 3 for text in cut]
    rest = [text[begin:].strip() or "pass" for text, begin in zip(cut, third, strict=True)]
    return [
        {
            "prompt": PROMPT.format(text[:begin].strip()),
            "chosen": chosen,
            "rejected": rejected[: 2 * len(text)],
        }
        for text, begin, chosen, rejected in zip(cut, third, rest, [*rest[1:], rest[0]], strict=True)
    ]


def make_job(root: Path, name: str, rows: list[dict[str, str]], options: argparse.Namespace) -> JobFolder:
    folder = JobFolder(root / "training_jobs" / name)
    folder.train_file.parent.mkdir(parents=True)
    (root / "adapters").mkdir(exist_ok=True)
    folder.train_file.write_text("".join(json.dumps(row) + "\n" for row in rows))
    job = {
        "model_name": "llama",
        "lora_config": {"r": 8, "lora_alpha": 16, "lora_dropout": 0.0, "target_modules": "all-linear"},
        "training_config": {
            "method": "dpo",
            "max_steps": options.steps,
            "batch_size": PAIRS,
            "gradient_accumulation_steps": 1,
            "learning_rate": 1e-4,
            "warmup_steps": 0,
            "logging_steps": 1,
            "save_steps": 1_000_000,
            "max_seq_length": 2 * options.length,
        },
    }
    folder.job_file.write_text(json.dumps(job))
    return folder


def run_trl(command: list[str], options: list[str], folder: JobFolder) -> Result:
    output, peak_mb, _ = run_measured([*command, str(folder.path), *options])
    told = [json.loads(line) for line in output.splitlines() if line.startswith(('{"step"', '{"reference_s"'))]
    steps = [line for line in told if "step" in line]
    seconds = steps[-1]["elapsed_s"] + sum(line.get("reference_s", 0.0) for line in told)
    losses = [line["loss"] for line in steps]
    return Result(len(steps) * PAIRS / seconds, steps[-1]["device_mb"] or peak_mb, losses)


def run_lathe(folder: JobFolder) -> Result:
    output, peak_mb, _ = run_measured([sys.executable, "-m", "runtime.trainer", str(folder.path)])
    points = metrics.read(folder.metrics_file)
    reference_s = float(re.findall(r"Computing the reference of train: .* in ([\d.]+) s", output)[0])
    seconds = (points[-1].elapsed_s or 0.0) + reference_s
    on_device_mb = points[-1].memory_mb or 0.0
    losses = [point.loss or 0.0 for point in points]
    return Result(len(points) * PAIRS / seconds, on_device_mb if torch.cuda.is_available() else peak_mb, losses)


def report(results: dict[str, list[Result]]) -> str:
    """A table, and what it does not say, in Markdown."""
    lines = [
        "| engine | pairs/s | Lathe's ratio to it | peak MB | first loss | last loss |",
        "| --- | --- | --- | --- | --- | --- |",
    ]
    for name, runs in results.items():
        ratios = [
            ours.pairs_per_second / theirs.pairs_per_second for ours, theirs in zip(results["lathe"], runs, strict=True)
        ]
        figures = [
            shown([run.pairs_per_second for run in runs], 2),
            shown(ratios, 2),
            shown([run.peak_mb for run in runs]),
            f"{runs[0].losses[0]:.4f}",
            f"{runs[0].losses[-1]:.4f}",
        ]
        lines.append(f"| {name} | {' | '.join(figures)} |")
    steps = len(results["lathe"][0].losses)
    told = (
        f"{PAIRS} pairs a step. Medians of {steps} steps in {len(results['lathe'])} rounds, and ranges; ratios are of "
        "a round's two runs."
    )
    return "\n".join([*lines, "", *textwrap.wrap(told, 120)])


if __name__ == "__main__":
    main()
