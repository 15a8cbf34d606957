"""`python -m benchmarks.serving`: tokens a second and the wait for the first one, with 1, 4, 8 and 16 requests at once.

Lathe's server, over HTTP and streamed, in turn with transformers' generate behind a lock
(`benchmarks/behind_a_lock.py`), on one quantized base: greedy completions of 64 tokens of prompts of unequal length.
Then the latency of `GET /api/training/jobs` while 16 requests are answered.
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

import httpx
from msgspec import Struct

from benchmarks.server import ask, percentile, server
from benchmarks.training import CHECKOUT, SIZES, make_model, shown
from pretraining import corpus
from state.root import DataRoot

NEW_TOKENS = 64
AT_ONCE = (1, 4, 8, 16)


class Batch(Struct):
    """Requests that came at once."""

    tokens_per_second: float
    first_token_s: float
    """Mean."""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0] if __doc__ else None)
    parser.add_argument("--model", choices=[*SIZES, "tiny-python"], default="370M")
    parser.add_argument("--rounds", type=int, default=5, help="batches of each size (default: %(default)s)")
    options = parser.parse_args()
    root = Path(tempfile.mkdtemp(prefix="lathe-serving-"))
    try:
        make_model(root / "models" / "llama", options.model)
        forbid_the_end(root / "models" / "llama")
        with server(root, [], "--no-spare-trainer") as http, behind_a_lock(root) as lock:
            engines: dict[str, Callable[[list[str]], Batch]] = {
                "generate, behind a lock": lambda prompts: ask_the_lock(lock, prompts),
                "lathe": lambda prompts: ask_lathe(http, prompts),
            }
            results = measured(engines, options.rounds)
            report(results)
            report_latency(http)
    finally:
        shutil.rmtree(root)


def forbid_the_end(folder: Path) -> None:
    """A model that has no token to end with: every completion has all its tokens."""
    for name in ("config.json", "generation_config.json"):
        if (folder / name).exists():
            settings = json.loads((folder / name).read_text())
            (folder / name).write_text(json.dumps(settings | {"eos_token_id": settings.get("vocab_size", 32_000) - 1}))


class behind_a_lock:  # noqa: N801  used as a context manager
    """The process that it is compared with."""

    def __init__(self, root: Path) -> None:
        cache = DataRoot.at(root).quantized_bases
        self._process = subprocess.Popen(
            [sys.executable, "-m", "benchmarks.behind_a_lock", str(root / "models" / "llama"), str(cache)],
            cwd=CHECKOUT,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )

    def __enter__(self) -> subprocess.Popen[str]:
        return self._process

    def __exit__(self, *_: object) -> None:
        self._process.kill()
        self._process.wait()


def measured(engines: dict[str, Callable[[list[str]], Batch]], rounds: int) -> dict[tuple[str, int], list[Batch]]:
    """Every engine's batches, in turn; the first round warms up and is not counted."""
    results: dict[tuple[str, int], list[Batch]] = {}
    for number in range(rounds + 1):
        for at_once in AT_ONCE:
            prompts = [text[: 80 + 40 * (at % 8)] for at, text in enumerate(corpus.read().training[:at_once])]
            for name, engine in engines.items():
                batch = engine(prompts)
                if number > 0:
                    results.setdefault((name, at_once), []).append(batch)
    return results


def ask_the_lock(process: subprocess.Popen[str], prompts: list[str]) -> Batch:
    assert process.stdin is not None  # noqa: S101
    assert process.stdout is not None  # noqa: S101
    process.stdin.write(json.dumps({"prompts": prompts, "max_new_tokens": NEW_TOKENS}) + "\n")
    process.stdin.flush()
    answer = json.loads(process.stdout.readline())
    return Batch(len(prompts) * NEW_TOKENS / answer["seconds"], statistics.mean(answer["first_token_s"]))


def ask_lathe(http: httpx.Client, prompts: list[str]) -> Batch:
    first_token_s: list[float] = []
    began = time.monotonic()

    def complete(prompt: str) -> None:
        body = {"model": "llama", "prompt": prompt, "max_tokens": NEW_TOKENS, "temperature": 0, "stream": True}
        url = str(http.base_url).replace("/api", "/v1") + "completions"
        pieces = 0
        with http.stream("POST", url, json=body) as reply:
            for line in reply.iter_lines():
                if line.startswith("data: {"):
                    pieces += 1
                    if pieces == 1:
                        first_token_s.append(time.monotonic() - began)
        if pieces != NEW_TOKENS + 1:
            sys.exit(f"a completion had {pieces - 1} pieces and not {NEW_TOKENS}")

    together([lambda prompt=prompt: complete(prompt) for prompt in prompts])  # type: ignore[misc]
    seconds = time.monotonic() - began
    return Batch(len(prompts) * NEW_TOKENS / seconds, statistics.mean(first_token_s))


def together(work: list[Callable[[], None]]) -> None:
    threads = [threading.Thread(target=each) for each in work]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()


def report(results: dict[tuple[str, int], list[Batch]]) -> None:
    print("| at once | engine | tokens/s | Lathe's ratio to it | first token after, s |")
    print("| --- | --- | --- | --- | --- |")
    for (name, at_once), batches in sorted(results.items(), key=lambda item: item[0][1]):
        pairs = zip(results["lathe", at_once], batches, strict=True)
        ratios = [ours.tokens_per_second / theirs.tokens_per_second for ours, theirs in pairs]
        speeds = shown([batch.tokens_per_second for batch in batches])
        waits = shown([batch.first_token_s for batch in batches], 2)
        print(f"| {at_once} | {name} | {speeds} | {shown(ratios, 2)} | {waits} |")


def report_latency(http: httpx.Client) -> None:
    """Of a GET while 16 requests are answered."""
    prompts = [text[:200] for text in corpus.read().training[:16]]
    answering = threading.Thread(target=ask_lathe, args=(http, prompts))
    answering.start()
    latencies = []
    while answering.is_alive():
        latencies.append(ask(http))
    milliseconds = [1000 * latency for latency in latencies]
    print(
        f"\nGET /api/training/jobs meanwhile: median {statistics.median(milliseconds):.2f} ms, "
        f"99th percentile {percentile(milliseconds, 99):.2f} ms, {len(latencies)} requests"
    )


if __name__ == "__main__":
    main()
