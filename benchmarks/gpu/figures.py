"""Speed and memory of a large base with random weights: Lathe's training beside others', and its serving."""

import statistics
import sys
import time

import msgspec
import torch
from msgspec import Struct

from benchmarks import bases
from benchmarks.gpu.setting import Setting, Skipped, make_job
from benchmarks.server import server
from benchmarks.serving import ask_server, forbid_the_end
from benchmarks.training import Result, run_lathe, run_peer
from pretraining import corpus
from state.jobs import JobFolder

STEPS, LENGTH = 8, 512
AT_ONCE = (1, 16, 64)
NEEDS_S = {"7B": 240.0, "1B": 90.0}  # for all figures
NEEDS_MB = {"7B": 36_000, "1B": 8_000}  # for the recipe that holds the weights in bf16


class Made(Struct):
    """The base that the figures are of, and texts to train it on."""

    size: str
    why: str
    texts: list[str]


def base(setting: Setting) -> str:
    """Random weights of a Llama's shape: the largest that there is memory and time for."""
    began = time.monotonic()
    size, why = _size(setting.left_s)
    folder = setting.shared / "figures" / "models" / "llama"
    bases.make(folder, bases.shape(size), "cuda" if torch.cuda.is_available() else "cpu")
    forbid_the_end(folder)
    texts = [text[: 8 * LENGTH] for text in corpus.read().training if len(text) > 8 * LENGTH][
        : max(8 * STEPS, *AT_ONCE)
    ]
    (setting.shared / "figures.json").write_bytes(msgspec.json.encode(Made(size, why, texts)))
    return f"a Llama of {size} ({why}), made in {time.monotonic() - began:.0f} s"


def _size(left_s: float) -> tuple[str, str]:
    if not torch.cuda.is_available():
        return "20M", "there is no GPU"
    memory_mb = torch.cuda.get_device_properties(0).total_memory // 2**20
    for size, needed_s in NEEDS_S.items():
        if memory_mb >= NEEDS_MB[size] and left_s >= needed_s:
            return size, f"{memory_mb} MB of memory, {left_s:.0f} s left"
    return "370M", f"{memory_mb} MB of memory and {left_s:.0f} s left: too little for more"


def lathe(setting: Setting) -> str:
    """Lathe's trainer, quantizing the base first."""
    return _told(setting, run_lathe(_job(setting)))


def usual(setting: Setting) -> str:
    """The usual QLoRA recipe: transformers, peft and bitsandbytes as everyone puts them together."""
    return _told(setting, run_peer([sys.executable, "-m", "benchmarks.plain_recipe"], [], _job(setting)))


def bf16(setting: Setting) -> str:
    """The same recipe on the base in bf16, not quantized."""
    return _told(setting, run_peer([sys.executable, "-m", "benchmarks.plain_recipe"], ["--bf16"], _job(setting)))


def serving(setting: Setting) -> str:
    """Lathe's server, asked by 1, 16 and 64 at once, 64 tokens each."""
    known = made(setting)
    prompts = [text[: 80 + 40 * (at % 8)] for at, text in enumerate(known.texts)]
    with server(setting.shared / "figures", [], "--no-spare-trainer") as http:
        url = str(http.base_url).replace("/api", "/v1")
        ask_server(url, "llama", prompts[:1])
        batches = {number: ask_server(url, "llama", prompts[:number]) for number in AT_ONCE}
    told = [
        f"{number} at once {batch.tokens_per_second:.0f} tokens/s (first token after {batch.first_token_s:.2f} s)"
        for number, batch in batches.items()
    ]
    return f"{known.size}: {', '.join(told)}"


def made(setting: Setting) -> Made:
    """Raises Skipped where `base` has made none."""
    file = setting.shared / "figures.json"
    if not file.exists():
        raise Skipped("there is no base to measure with")
    return msgspec.json.decode(file.read_bytes(), type=Made)


def _job(setting: Setting) -> JobFolder:
    settings = {"max_steps": STEPS, "batch_size": 8, "learning_rate": 1e-4, "max_seq_length": LENGTH}
    folder = JobFolder(setting.shared / "figures" / "training_jobs" / setting.folder.name)
    return make_job(folder, made(setting).texts[: 8 * STEPS], settings, model="llama")


def _told(setting: Setting, result: Result) -> str:
    warm = f", {result.warm_tokens_per_second:.0f} after the first step" if result.warm_tokens_per_second else ""
    return (
        f"{made(setting).size}, {STEPS} steps of 8 x {LENGTH} tokens: {result.tokens_per_second:.0f} tokens/s{warm}, "
        f"peak {result.peak_mb:.0f} MB, {result.other_s:.0f} s beside the steps, "
        f"mean loss {statistics.mean(result.losses):.3f}"
    )
