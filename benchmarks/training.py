"""`python -m benchmarks.training`: Lathe's trainer against today's usual recipe and other tools', at equal work.

Makes a Llama of random weights and a job of real Python texts of mixed lengths, then trains the job in turn by the
usual recipe (`benchmarks/plain_recipe.py`), with `--peers` by TRL's SFTTrainer without and with its packing
(`benchmarks/trl_recipe.py`) and by LLaMA-Factory (`benchmarks/llamafactory.py`), in environments of their own under
`.cache`, and by `python -m runtime.trainer`, each in a process of its own, round after round; once more by Lathe with
little memory. All take the same examples and the same learning rates. Prints target tokens a second of the whole loop,
first step included; the process's peak of anonymous memory, on a GPU the allocator's; its time outside of the loop; the
losses; and how much of this machine's rate of matrix products Lathe's steps put to use. `--write` puts it all into
docs/performance.md.

"""

import argparse
import json
import os
import shutil
import statistics
import subprocess
import sys
import tempfile
import textwrap
import threading
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path

import torch
from msgspec import Struct
from transformers import LlamaForCausalLM, PreTrainedTokenizerFast

from benchmarks import bases, llamafactory, peers
from benchmarks.bases import SIZES, TOKENIZER
from benchmarks.document import write
from benchmarks.server import CHECKOUT
from pretraining import corpus, train_tiny_python
from runtime.model.tokenizers import load_tokenizer
from state import jobs, metrics, models
from state.jobs import JobFolder

TRAINED = {
    "25M-trained": {"hidden_size": 512, "intermediate_size": 1408, "num_hidden_layers": 8, "num_attention_heads": 8}
}
PRETRAINING_STEPS = 60  # of 8,192 tokens of the bundled model's corpus: some six minutes on 2 cores, once
LITTLE_MEMORY_MB = {"20M": 550, "370M": 1200}
LOSSES = ("first loss", "last loss", "loss difference")
OTHER_BATCHES = (
    "trl, packing",
    "llamafactory",
)  # engines that make batches, or tokens of a text, in a way of their own


class Result(Struct):
    """One run. `losses` are the steps'."""

    tokens_per_second: float
    peak_mb: float
    other_s: float
    """Imports, loading and saving: all of the process's time that is not in its loop."""
    losses: list[float]
    warm_tokens_per_second: float | None = None
    """After the first step."""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0] if __doc__ else None)
    parser.add_argument(
        "--model",
        choices=[*SIZES, *TRAINED, "tiny-python"],
        default="370M",
        help="a size of random weights, or a model that can really learn: one trained on the spot, or the bundled one",
    )
    parser.add_argument("--rounds", type=int, default=5, help="runs of each engine (default: %(default)s)")
    parser.add_argument("--steps", type=int, default=4, help="optimizer steps a run (default: %(default)s)")
    parser.add_argument("--length", type=int, default=512, help="tokens an example at most (default: %(default)s)")
    parser.add_argument("--rank", type=int, default=8, help="of LoRA (default: %(default)s)")
    parser.add_argument("--targets", choices=["q-and-v", "all-linear"], default="all-linear")
    parser.add_argument("--dropout", type=float, default=0.0, help="of LoRA (default: %(default)s)")
    parser.add_argument("--peers", action="store_true", help="run TRL and LLaMA-Factory, too; installs them first")
    parser.add_argument("--float32", action="store_true", help="run Lathe in float32, too")
    parser.add_argument("--write", action="store_true", help="put the results into docs/performance.md")
    options = parser.parse_args()
    root = Path(tempfile.mkdtemp(prefix="lathe-bench-"))
    try:
        make_model(root / "models" / "llama", options.model)
        engines: dict[str, Callable[[JobFolder], Result]] = {
            "plain": partial(run_peer, [sys.executable, "-m", "benchmarks.plain_recipe"], [])
        }
        if options.peers:
            trl = [str(peers.python()), "-m", "benchmarks.trl_recipe"]
            engines |= {
                "trl": partial(run_peer, trl, []),
                "trl, packing": partial(run_peer, trl, ["--packing"]),
                "llamafactory": run_llamafactory,
            }
        engines["lathe"] = run_lathe
        if options.float32:
            engines["lathe, float32"] = partial(run_lathe, precision="float32")
        if little := LITTLE_MEMORY_MB.get(options.model):
            engines[f"lathe, {little} MB"] = partial(run_lathe, memory_mb=little)
        results: dict[str, list[Result]] = {name: [] for name in engines}
        rates = []
        for number in range(options.rounds):
            rates.append(matrix_rate())
            for name, run in engines.items():
                folder = make_job(root, f"{name.replace(', ', '-')}-{number}", options)
                results[name].append(run(folder))
                print(name, results[name][-1], flush=True)
        text = report(results, statistics.median(rates), work_a_token(root / "models" / "llama"))
        print(f"\n{text}")
        if options.write:
            write("training", options.model, text)
    finally:
        shutil.rmtree(root)


def make_model(folder: Path, model: str) -> None:
    """A Llama with a vocabulary of 32,000 and random weights in bf16, or a copy of a model that was trained."""
    if model not in SIZES:
        shutil.copytree(pretrained(model) if model in TRAINED else CHECKOUT / "models" / model, folder)
        return
    bases.make(folder, bases.shape(model))


def pretrained(model: str) -> Path:
    """The folder of a larger sister of tiny-python, under `.cache`; trained where there is none."""
    folder = CHECKOUT / ".cache" / model
    if not (folder / "model.safetensors").exists():
        text, tokenizer = corpus.read(), PreTrainedTokenizerFast.from_pretrained(str(TOKENIZER))
        shape = train_tiny_python.architecture(tokenizer)
        shape.update({**TRAINED[model], "head_dim": 64})
        torch.manual_seed(0)
        trained = LlamaForCausalLM(shape)
        rows, held_out = (train_tiny_python.pack(tokenizer, documents) for documents in (text.training, text.held_out))
        print(train_tiny_python.train(trained, rows, held_out, PRETRAINING_STEPS)[-1], flush=True)
        trained.bfloat16().save_pretrained(folder)
        for name in ("tokenizer.json", "tokenizer_config.json"):
            shutil.copy(TOKENIZER / name, folder)
    return folder


def make_job(root: Path, name: str, options: argparse.Namespace) -> JobFolder:
    """8 examples a step: short functions and long pieces of source, cut at `length` tokens."""
    documents, number = corpus.read().training, 8 * options.steps
    texts = [text[: 5 * options.length] for text in documents[:: max(1, len(documents) // number)]][:number]
    folder = JobFolder(root / "training_jobs" / name)
    folder.train_file.parent.mkdir(parents=True)
    (root / "adapters").mkdir(exist_ok=True)
    folder.train_file.write_text("".join(json.dumps({"text": text}) + "\n" for text in texts))
    modules = ["q_proj", "v_proj"] if options.targets == "q-and-v" else options.targets
    lora = {"r": options.rank, "lora_alpha": 2 * options.rank, "lora_dropout": options.dropout}
    job = {
        "model_name": "llama",
        "lora_config": lora | {"target_modules": modules},
        "training_config": {
            "max_steps": options.steps,
            "batch_size": 8,
            "gradient_accumulation_steps": 1,
            "learning_rate": 1e-3,
            "warmup_steps": 0,
            "logging_steps": 1,
            "save_steps": 1_000_000,
            "max_seq_length": options.length,
        },
    }
    folder.job_file.write_text(json.dumps(job))
    return folder


def run_peer(command: list[str], options: list[str], folder: JobFolder) -> Result:
    output, peak_mb, wall_s = run_measured([*command, str(folder.path), *options])
    lines = [json.loads(line) for line in output.splitlines() if line.startswith('{"step"')]
    loop_s = lines[-1]["elapsed_s"]
    peak_mb = lines[-1]["device_mb"] or peak_mb
    return Result(token_count(folder) / loop_s, peak_mb, wall_s - loop_s, [line["loss"] for line in lines])


def run_llamafactory(folder: JobFolder) -> Result:
    _, peak_mb, wall_s = run_measured(llamafactory.command(folder), {"DISABLE_VERSION_CHECK": "1"})
    loop_s, losses = llamafactory.results(folder)
    return Result(token_count(folder) / loop_s, peak_mb, wall_s - loop_s, losses)


def run_lathe(folder: JobFolder, memory_mb: int | None = None, precision: str | None = None) -> Result:
    if precision is not None:
        job = json.loads(folder.job_file.read_text())
        job["training_config"]["precision"] = precision
        folder.job_file.write_text(json.dumps(job))
    limit = {"LATHE_MEMORY_MB": str(memory_mb)} if memory_mb else {}
    _, peak_mb, wall_s = run_measured([sys.executable, "-m", "runtime.trainer", str(folder.path)], limit)
    points = metrics.read(folder.metrics_file)
    loop_s = points[-1].elapsed_s or 0.0
    return Result(
        token_count(folder) / loop_s,
        (points[-1].memory_mb or 0.0) if torch.cuda.is_available() else peak_mb,
        wall_s - loop_s,
        [point.loss or 0.0 for point in points],
        statistics.mean(point.tokens_per_second or 0.0 for point in points[1:] or points),
    )


def token_count(folder: JobFolder) -> int:
    """Target tokens of the run: every example is taken once."""
    from benchmarks.peer import tokenized  # noqa: PLC0415
    from benchmarks.texts import texts_of  # noqa: PLC0415

    tokenizer, length = load_tokenizer(str(TOKENIZER)), jobs.read_job(folder).training_config.max_seq_length or 0
    return sum(len(ids) - 1 for ids in tokenized(tokenizer, texts_of(folder.train_file), length))


def matrix_rate() -> float:
    """Bf16 matrix products of this machine, in floating-point operations a second: the best of several, 2048 cubed."""
    size, device = 2048, "cuda" if torch.cuda.is_available() else "cpu"
    left, right = (torch.randn(size, size, dtype=torch.bfloat16, device=device) for _ in range(2))
    seconds = []
    for _ in range(10):
        began = time.monotonic()
        (left @ right)[0, 0].item()  # waits for it
        seconds.append(time.monotonic() - began)
    return 2 * size**3 / min(seconds)


def work_a_token(model: Path) -> float:
    """Floating-point operations that a token needs: each linear layer's product forwards and its input's gradient.

    What may be done besides is not counted: attention, the adapter, dequantization, layers computed twice.
    """
    tensors = models.tensors(model)
    matrices = [tensor.shape for name, tensor in tensors.items() if len(tensor.shape) == 2 and "embed" not in name]
    if not any("lm_head" in name for name in tensors):  # tied to the embeddings
        matrices.append(next(tensor.shape for name, tensor in tensors.items() if "embed" in name))
    return 4.0 * sum(rows * columns for rows, columns in matrices)


def run_measured(command: list[str], environment: dict[str, str] | None = None) -> tuple[str, float, float]:
    """Run a command; its output, its peak of anonymous memory in 2^20 bytes (mapped files left out), its seconds."""
    began = time.monotonic()
    process = subprocess.Popen(
        command,
        cwd=CHECKOUT,
        env=os.environ | (environment or {}),
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )
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
    return output, peak_kb / 1024, time.monotonic() - began


def anonymous_kb(pid: int) -> int:
    try:
        status = Path(f"/proc/{pid}/status").read_text()
    except (FileNotFoundError, ProcessLookupError):
        return 0
    return next((int(line.split()[1]) for line in status.splitlines() if line.startswith("RssAnon:")), 0)


def report(results: dict[str, list[Result]], rate: float, work: float) -> str:
    """A table, and what it does not say, in Markdown."""
    lines = [
        f"| engine | tokens/s | Lathe's ratio to it | peak MB | outside the loop, s | {' | '.join(LOSSES)} |",
        "| --- | --- | --- | --- | --- | --- | --- | --- |",
    ]
    usual = results["plain"][0].losses
    for name, runs in results.items():
        ratios = [
            ours.tokens_per_second / theirs.tokens_per_second
            for ours, theirs in zip(results["lathe"], runs, strict=True)
        ]
        losses = runs[0].losses
        figures = [
            shown([run.tokens_per_second for run in runs]),
            shown(ratios, 2),
            shown([run.peak_mb for run in runs]),
            shown([run.other_s for run in runs], 1),
            f"{losses[0]:.4f}",
            f"{losses[-1]:.4f}",
            "" if name in ("plain", *OTHER_BATCHES) else differences(losses, usual),
        ]
        lines.append(f"| {name} | {' | '.join(figures)} |")
    warm = statistics.median(run.warm_tokens_per_second or 0.0 for run in results["lathe"])
    share = f"{warm * work / rate:.0%} of this machine's {rate / 1e9:.0f} GFLOP/s in bf16 products"
    told = (
        "`loss difference`: by how much a step's loss differs from the usual recipe's, on average and at most. "
        f"Medians of {len(usual)} steps in {len(results['lathe'])} rounds, and ranges; ratios are of a round's two "
        f"runs. After its first step Lathe makes {warm:.0f} tokens/s, {warm * work / 1e9:.0f} GFLOP/s of linear "
        f"layers, {share}."
    )
    lines += ["", *textwrap.wrap(told, 120)]
    return "\n".join(lines)


def differences(losses: list[float], usual: list[float]) -> str:
    apart = [abs(mine - theirs) for mine, theirs in zip(losses, usual, strict=True)]
    return f"{statistics.mean(apart):.5f}, at most {max(apart):.5f}"


def shown(values: list[float], digits: int = 0) -> str:
    return f"{statistics.median(values):.{digits}f} ({min(values):.{digits}f} to {max(values):.{digits}f})"


if __name__ == "__main__":
    main()
