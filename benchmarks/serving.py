"""`python -m benchmarks.serving`: tokens a second and the wait for the first one, with 1, 4, 8 and 16 requests at once.

Lathe's server, over HTTP and streamed, in turn with transformers' generate behind a lock
(`benchmarks/behind_a_lock.py`) on the same quantized base, and with `--peers` with other servers: llama.cpp's
(`benchmarks/llamacpp_server.py`), and `transformers serve` without and with its continuous batching. Each is stopped
while another one is asked. Greedy completions of 64 tokens of prompts of unequal length, and the wait for the first
token of a long prompt. Then, of Lathe alone: how long an adapter takes to load and to switch to, whether answers side
by side are those that each prompt gets alone, how soon a conversation's next turn begins, and the latency of `GET
/api/training/jobs` while 16 requests are answered. `--write` puts it all into docs/performance.md.
"""

import argparse
import json
import os
import shutil
import signal
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ProcessPoolExecutor, ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from functools import partial
from multiprocessing import get_context
from pathlib import Path
from typing import Any

import httpx
import torch
from msgspec import Struct
from peft import LoraConfig, get_peft_model

from benchmarks import llamacpp_server, peers
from benchmarks.bases import SIZES
from benchmarks.document import write
from benchmarks.server import CHECKOUT, answers, ask_from_elsewhere, free_port, percentile, server
from benchmarks.training import make_model, shown
from pretraining import corpus
from runtime.inference.base import Base
from runtime.inference.ragged import Chunk
from runtime.model import adapter_files, device
from state.root import DataRoot

NEW_TOKENS = 64
AT_ONCE = (1, 4, 8, 16)
SWITCHES = 20
LONG_PROMPT = 6000  # characters
LATENCY_S = 10.0

Ask = Callable[[list[str]], "Batch"]


class Batch(Struct):
    """Requests that came at once."""

    tokens_per_second: float
    first_token_s: float
    """Mean."""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0] if __doc__ else None)
    parser.add_argument("--model", choices=[*SIZES, "tiny-python"], default="370M")
    parser.add_argument("--rounds", type=int, default=5, help="batches of each size (default: %(default)s)")
    parser.add_argument("--peers", choices=["all", "llama.cpp"], help="ask other servers, too; installs them first")
    parser.add_argument("--write", action="store_true", help="put the results into docs/performance.md")
    options = parser.parse_args()
    root = Path(tempfile.mkdtemp(prefix="lathe-serving-"))
    model = root / "models" / "llama"
    try:
        make_model(model, options.model)
        forbid_the_end(model)
        make_adapters(model, root / "adapters")
        with ExitStack() as stack, server(root, [], "--no-spare-trainer") as http:
            engines = {"generate, behind a lock": stack.enter_context(behind_a_lock(root))}
            if options.peers:
                exported = http.post("/adapters/one/export", json={"format": "gguf"}).raise_for_status().json()
                gguf = root / exported["path"] / "model.gguf"
                engines |= stack.enter_context(other_servers(commands(model, gguf, options.peers), str(model)))
            engines["lathe"] = partial(ask_lathe, http)
            lines = [*report(measured(engines, options.rounds)), ""]
            lines += [*long_prompts(engines, options.rounds), *of_lathe_alone(http)]
            lines += [beside_passes(http, model, options.rounds)]
    finally:
        shutil.rmtree(root)
    text = "\n".join(lines)
    print(text)
    if options.write:
        write("serving", options.model, text)


def forbid_the_end(folder: Path) -> None:
    """A model that has no token to end with: every completion has all its tokens."""
    for name in ("config.json", "generation_config.json"):
        if (folder / name).exists():
            settings = json.loads((folder / name).read_text())
            (folder / name).write_text(json.dumps(settings | {"eos_token_id": settings.get("vocab_size", 32_000) - 1}))


def make_adapters(model: Path, adapters: Path) -> None:
    """Two of random weights, of rank 8 on all linear layers."""
    settings = LoraConfig(r=8, lora_alpha=16, target_modules="all-linear", task_type="CAUSAL_LM")
    adapted: Any = get_peft_model(adapter_files.skeleton(str(model)), settings).to_empty(device="cpu")
    for name in ("one", "other"):
        for parameter in adapted.parameters():
            if parameter.requires_grad:
                torch.nn.init.normal_(parameter, std=0.02)
        adapted.active_peft_config.base_model_name_or_path = str(model)
        adapted.save_pretrained(str(adapters / name))


@contextmanager
def behind_a_lock(root: Path) -> Iterator[Ask]:
    """The usual way to serve a model from a script."""
    cache = DataRoot.at(root).quantized_bases
    process = subprocess.Popen(
        [sys.executable, "-m", "benchmarks.behind_a_lock", str(root / "models" / "llama"), str(cache)],
        cwd=CHECKOUT,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    try:
        yield partial(ask_the_lock, process)
    finally:
        process.kill()
        process.wait()


def commands(model: Path, gguf: Path, which: str) -> dict[str, list[str]]:
    """Of other servers, each to be followed by its port."""
    llamacpp = {"llama.cpp, Q4_0": [*llamacpp_server.command(gguf, slots=max(AT_ONCE)), "--port"]}
    if which == "llama.cpp":
        return llamacpp
    transformers = [str(peers.python()), "-m", "transformers.cli.transformers", "serve", str(model)]
    transformers += ["--quantization", "bnb-4bit"]
    transformers += ["--dtype", "bfloat16", "--device", "cuda" if torch.cuda.is_available() else "cpu"]
    return llamacpp | {
        "transformers serve": [*transformers, "--port"],
        "transformers serve, continuous batching": [*transformers, "--continuous-batching", "--port"],
    }


@contextmanager
def other_servers(commands: dict[str, list[str]], model: str) -> Iterator[dict[str, Ask]]:
    """Each started, and then stopped but while it is asked: some keep a core busy while they wait."""
    started: list[subprocess.Popen[bytes]] = []
    asks: dict[str, Ask] = {}
    try:
        for name, command in commands.items():
            port = free_port()
            started.append(
                subprocess.Popen(
                    [*command, str(port)],
                    cwd=CHECKOUT,
                    env=os.environ | {"PYTHONPATH": str(CHECKOUT)},
                    stdout=subprocess.DEVNULL,
                    stderr=subprocess.DEVNULL,
                    start_new_session=True,
                )
            )
            with httpx.Client(base_url=f"http://127.0.0.1:{port}") as http:
                while not answers(http):
                    if started[-1].poll() is not None:
                        sys.exit(f"{' '.join(command)} ended with {started[-1].returncode}")
                    time.sleep(0.1)
            asks[name] = partial(ask_awakened, started[-1].pid, f"http://127.0.0.1:{port}/v1/", model)
            os.killpg(started[-1].pid, signal.SIGSTOP)
        yield asks
    finally:
        for process in started:
            os.killpg(process.pid, signal.SIGKILL)
            process.wait()


def ask_awakened(group: int, url: str, model: str, prompts: list[str]) -> Batch:
    os.killpg(group, signal.SIGCONT)
    try:
        return ask_server(url, model, prompts)
    finally:
        os.killpg(group, signal.SIGSTOP)


def measured(engines: dict[str, Ask], rounds: int) -> dict[tuple[str, int], list[Batch]]:
    """Every engine's batches, in turn, once each is warm."""
    results: dict[tuple[str, int], list[Batch]] = {}
    for engine in engines.values():
        engine(prompts(rounds, 1))
    for number in range(rounds):
        for at_once in AT_ONCE:
            for name, engine in engines.items():
                batch = engine(prompts(number, at_once))
                print(name, at_once, batch, flush=True)
                results.setdefault((name, at_once), []).append(batch)
    return results


def prompts(number: int, at_once: int) -> list[str]:
    """Of unequal length, and others each round: nobody has read them before."""
    texts = [text for text in corpus.read().training if len(text) > 400][number * max(AT_ONCE) :]
    return [text[: 80 + 40 * (at % 8)] for at, text in enumerate(texts[:at_once])]


def ask_the_lock(process: subprocess.Popen[str], asked: list[str]) -> Batch:
    assert process.stdin is not None  # noqa: S101
    assert process.stdout is not None  # noqa: S101
    process.stdin.write(json.dumps({"prompts": asked, "max_new_tokens": NEW_TOKENS}) + "\n")
    process.stdin.flush()
    answer = json.loads(process.stdout.readline())
    return Batch(len(asked) * NEW_TOKENS / answer["seconds"], statistics.mean(answer["first_token_s"]))


def ask_lathe(http: httpx.Client, asked: list[str]) -> Batch:
    return ask_server(str(http.base_url).replace("/api", "/v1"), "llama", asked)


def ask_server(url: str, model: str, asked: list[str]) -> Batch:
    first_token_s: list[float] = []
    began = time.monotonic()

    def complete(prompt: str) -> None:
        body = {"model": model, "prompt": prompt, "max_tokens": NEW_TOKENS, "temperature": 0, "stream": True}
        with httpx.stream("POST", f"{url}completions", json=body, timeout=600) as reply:
            reply.raise_for_status()
            events = (line for line in reply.iter_lines() if line.startswith("data: {"))
            first = next(events)
            first_token_s.append(time.monotonic() - began)
            *_, last = first, *events
        if '"length"' not in last:
            sys.exit(f"a completion did not have all its tokens: {last}")

    together([partial(complete, prompt) for prompt in asked])
    seconds = time.monotonic() - began
    return Batch(len(asked) * NEW_TOKENS / seconds, statistics.mean(first_token_s))


def together(work: list[Callable[[], None]]) -> None:
    """Raises what one of them raises: a batch without all its answers is none."""
    with ThreadPoolExecutor(len(work)) as pool:
        for each in [pool.submit(each) for each in work]:
            each.result()


def report(results: dict[tuple[str, int], list[Batch]]) -> Iterator[str]:
    yield "| at once | engine | tokens/s | Lathe's ratio to it | first token after, s |"
    yield "| --- | --- | --- | --- | --- |"
    for (name, at_once), batches in sorted(results.items(), key=lambda item: item[0][1]):
        pairs = zip(results["lathe", at_once], batches, strict=True)
        ratios = [ours.tokens_per_second / theirs.tokens_per_second for ours, theirs in pairs]
        speeds = shown([batch.tokens_per_second for batch in batches])
        waits = shown([batch.first_token_s for batch in batches], 2)
        yield f"| {at_once} | {name} | {speeds} | {shown(ratios, 2)} | {waits} |"


def long_prompts(engines: dict[str, Ask], rounds: int) -> Iterator[str]:
    """The wait for the first token of a prompt that nobody has read before."""
    waits: dict[str, list[float]] = {}
    for number in range(rounds):
        for name, engine in engines.items():
            waits.setdefault(name, []).append(engine([f"# {number}\n" + long_text()]).first_token_s)
    for name, own in waits.items():
        yield f"A prompt of {LONG_PROMPT} characters has its first token after {shown(own, 2)} s: {name}."


def long_text() -> str:
    return max(corpus.read().training, key=len)[:LONG_PROMPT]


def of_lathe_alone(http: httpx.Client) -> Iterator[str]:
    yield f"An adapter of rank 8 on all linear layers, its base in memory: {switching(http)}."
    yield f"{same_answers(http)} of {max(AT_ONCE)} answers side by side are just those that their prompts get alone."
    yield next_turn(http)
    yield latency(http)


def switching(http: httpx.Client) -> str:
    """The first load reads and checks the files; later ones find it in memory."""
    loads: list[float] = []
    for number in range(SWITCHES + 2):
        began = time.monotonic()
        http.post(f"/adapters/{('one', 'other')[number % 2]}/load").raise_for_status()
        loads.append(1000 * (time.monotonic() - began))
    return f"loaded in {loads[0]:.0f} and {loads[1]:.0f} ms, switched to in {shown(loads[2:], 1)} ms"


def same_answers(http: httpx.Client) -> int:
    found: dict[str, str] = {}

    def complete(prompt: str) -> str:
        body = {"prompt": prompt, "model_name": "llama", "max_new_tokens": NEW_TOKENS}
        return str(http.post("/generate", json=body).raise_for_status().json()["text"])

    asked = prompts(20, max(AT_ONCE))
    together([lambda prompt=prompt: found.update({prompt: complete(prompt)}) for prompt in asked])  # type: ignore[misc]
    return sum(complete(prompt) == found[prompt] for prompt in asked)


def beside_passes(http: httpx.Client, model: Path, rounds: int) -> str:
    """How much longer a token takes over HTTP than its pass in this process, in turn, with 1 and 16 at once."""
    base = Base(str(model), device.pick(), DataRoot.at(model.parent.parent).quantized_bases)
    ratios: dict[int, list[float]] = {1: [], 16: []}
    for number in range(rounds):
        for at_once, found in ratios.items():
            asked = prompts(30 + number, at_once)
            found.append(step_s(str(http.base_url).replace("/api", "/v1"), asked) / pass_s(base, asked))
    alone, many = (shown([100 * (ratio - 1) for ratio in found]) for found in ratios.values())
    return f"A token over HTTP takes {alone} % longer than its pass with 1 at once, {many} % with 16."


def step_s(url: str, asked: list[str]) -> float:
    """Of one token of all, while all are written."""
    times: list[list[float]] = [[] for _ in asked]

    def complete(prompt: str, own: list[float]) -> None:
        body = {"model": "llama", "prompt": prompt, "max_tokens": NEW_TOKENS, "temperature": 0, "stream": True}
        with httpx.stream("POST", f"{url}completions", json=body, timeout=600) as reply:
            own += [time.monotonic() for line in reply.iter_lines() if line.startswith("data: {")][:NEW_TOKENS]

    together([partial(complete, prompt, own) for prompt, own in zip(asked, times, strict=True)])
    begin, end = max(own[0] for own in times), min(own[-1] for own in times)
    return (end - begin) / statistics.mean(sum(begin < at <= end for at in own) for own in times)


@torch.inference_mode()
def pass_s(base: Base, asked: list[str]) -> float:
    """The mean of the passes that write as many tokens."""
    caches = [base.runner.new_cache() for _ in asked]
    for prompt, cache in zip(asked, caches, strict=True):
        base.runner.logits([Chunk(base.tokenizer(prompt)["input_ids"], cache)])
    began = time.monotonic()
    for token in range(NEW_TOKENS):
        base.runner.logits([Chunk([100 + token], cache) for cache in caches])
    return (time.monotonic() - began) / NEW_TOKENS


def next_turn(http: httpx.Client) -> str:
    """The wait for the first token of a long prompt, and of one that goes on from it."""
    waits = [ask_lathe(http, [long_text() + more]) for more in ("", "\n\nAnd")]
    first, again = (1000 * wait.first_token_s for wait in waits)
    return f"A prompt of {LONG_PROMPT} characters has its first token after {first:.0f} ms, its next turn {again:.0f}."


def latency(http: httpx.Client) -> str:
    """Of a GET while 16 requests are answered."""
    with ProcessPoolExecutor(1, mp_context=get_context("spawn")) as elsewhere:
        elsewhere.submit(ask_from_elsewhere, str(http.base_url), 0.1).result()  # its imports are behind it
        asking = elsewhere.submit(ask_from_elsewhere, str(http.base_url), LATENCY_S)
        while not asking.done():
            ask_lathe(http, prompts(21, max(AT_ONCE)))
        latencies = [1000 * seconds for seconds in asking.result()]
    return (
        f"`GET /api/training/jobs` while {max(AT_ONCE)} are answered: {statistics.median(latencies):.2f} ms, "
        f"{percentile(latencies, 99):.2f} ms at the 99th percentile."
    )


if __name__ == "__main__":
    main()
