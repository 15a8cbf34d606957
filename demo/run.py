"""`make demo`: upload a data set, train an adapter on it, load it, and see what it changed.

Everything goes over HTTP to a server of its own, on a free port and a data root that is removed at the end. Ends with
a code other than 0 when anything fails, also when the adapter answers no better than the base.
"""

import contextlib
import json
import os
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import httpx
from tqdm import tqdm

from benchmarks.server import CHECKOUT, reserved_port

MODEL = "tiny-python"
ADAPTER = "workshop-style"
SHOWN = 4  # prompts whose answers are printed; all of them are counted


def main() -> int:
    root = Path(tempfile.mkdtemp(prefix="lathe-demo-"))
    try:
        with server(root) as http:
            return demonstrate(http)
    except (httpx.HTTPError, RuntimeError) as error:
        print(f"The demo failed: {error}", file=sys.stderr)
        print((root / "server.log").read_text()[-3000:], file=sys.stderr)
        return 1
    finally:
        shutil.rmtree(root, ignore_errors=True)


def demonstrate(http: httpx.Client) -> int:
    texts = read_texts()
    prompts = [text[: text.index("### Response:\n") + len("### Response:\n")] for text in texts]
    answers = [text[len(prompt) :] for text, prompt in zip(texts, prompts, strict=True)]

    heading(f"1. What {MODEL} answers before it is trained")
    before = generate(http, prompts, model_name=MODEL)
    for prompt, text in list(zip(prompts, before, strict=True))[:SHOWN]:
        show(prompt, text)

    heading(f"2. Upload {len(texts)} examples, start a job")
    call(http, "POST", "/training/data/upload", {"dataset_name": ADAPTER, "train_texts": texts})
    settings = json.loads((CHECKOUT / "demo" / "settings.json").read_text())
    job = {"model_name": MODEL, "dataset_name": ADAPTER, "adapter_name": ADAPTER, "description": "Workshop names"}
    job_id = call(http, "POST", "/training/start", job | settings)["job_id"]
    print(f"   job {job_id}")
    follow(http, job_id)

    heading("3. The adapter, listed and loaded")
    call(http, "POST", f"/adapters/{ADAPTER}/load")
    for adapter in call(http, "GET", "/adapters")["adapters"]:
        print(
            f"   {adapter['name']}  {adapter['size_mb']:.2f} MB  {adapter['metrics']}  loaded: {adapter['is_loaded']}"
        )

    heading("4. The same prompts, answered by the adapter")
    after = generate(http, prompts)
    for prompt, text in list(zip(prompts, after, strict=True))[:SHOWN]:
        show(prompt, text)
    learned = sum(text == answer for text, answer in zip(after, answers, strict=True))
    known = sum(text == answer for text, answer in zip(before, answers, strict=True))
    heading(f"{MODEL} gave {known} of the {len(texts)} trained answers before, {learned} with the adapter")
    return 0 if learned > known else 1


def follow(http: httpx.Client, job_id: str) -> None:
    """A progress bar until the job ends. Raises RuntimeError unless it completed."""
    began = time.monotonic()
    every_s = 0.1 if sys.stderr.isatty() else 3.0
    shape = "   {l_bar}{bar:30}| {elapsed} gone, {remaining} left{postfix}"
    with tqdm(total=100, bar_format=shape, mininterval=every_s) as bar:
        while True:
            now = call(http, "GET", f"/training/status/{job_id}")
            if now["current_loss"] is not None:
                words = f"step {now['current_step']}/{now['total_steps']}, loss {now['current_loss']:.3f}"
                bar.set_postfix_str(words, refresh=False)
            bar.update(now["progress"] - bar.n)
            if now["status"] == "completed":
                break
            if now["status"] not in {"pending", "running"}:
                raise RuntimeError(f"job {job_id} {now['status']}: {now['error_message']}")
            time.sleep(0.2)
    print(f"   completed in {time.monotonic() - began:.0f} s, final loss {now['current_loss']:.4f}")


def generate(http: httpx.Client, prompts: list[str], **fields: object) -> list[str]:
    """Asked side by side: the server computes their tokens together."""

    def answer(prompt: str) -> str:
        body = {"prompt": prompt, "max_new_tokens": 100, "stop": ["\n\n###"]} | fields
        return str(call(http, "POST", "/generate", body)["text"])

    with ThreadPoolExecutor(len(prompts)) as clients:
        return list(clients.map(answer, prompts))


def call(http: httpx.Client, method: str, path: str, body: object = None) -> Any:  # noqa: ANN401  JSON
    reply = http.request(method, path, json=body) if body is not None else http.request(method, path)
    if reply.status_code != httpx.codes.OK:
        raise RuntimeError(f"{method} {path}: {reply.status_code} {reply.text}")
    return reply.json()


def read_texts() -> list[str]:
    lines = (CHECKOUT / "demo" / "instructions.jsonl").read_text().splitlines()
    return [json.loads(line)["text"] for line in lines]


@contextlib.contextmanager
def server(root: Path) -> Iterator[httpx.Client]:
    """A Lathe server on a free port, ended with the block."""
    without_key = os.environ | {"LATHE_API_KEY": ""}  # the shell may have one, for a server of its own
    with reserved_port() as port, (root / "server.log").open("wb") as log:
        command = [sys.executable, "main.py", "--root", str(root), "--port", str(port)]
        process = subprocess.Popen(command, cwd=CHECKOUT, stdout=log, stderr=log, env=without_key)
        try:
            with httpx.Client(base_url=f"http://localhost:{port}/api", timeout=600) as http:
                wait_for_answer(http, process)
                print(f"Lathe serves {http.base_url} on the data root {root}")
                yield http
        finally:
            process.terminate()
            process.wait()


def wait_for_answer(http: httpx.Client, process: subprocess.Popen[bytes]) -> None:
    while process.poll() is None:
        with contextlib.suppress(httpx.TransportError):
            http.get("/health").raise_for_status()
            return
        time.sleep(0.05)
    raise RuntimeError(f"the server ended with exit code {process.returncode}")


def heading(text: str) -> None:
    print(f"\n\033[1m{text}\033[0m" if sys.stdout.isatty() else f"\n{text}")


def show(prompt: str, answer: str) -> None:
    print(f"   {prompt.splitlines()[1]}")
    for line in answer.rstrip().splitlines()[:8]:
        print(f"      | {line}")


if __name__ == "__main__":
    sys.exit(main())
