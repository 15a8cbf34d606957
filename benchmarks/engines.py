"""`python -m benchmarks.engines`: the loss on held-out text by each engine, and by the base's own weights.

llama.cpp computes with other roundings of the weights than the embedded engine does, on which adapters are trained.
So tiny-python is measured alone and with an adapter that Lathe trains first. Each token of held-out documents is asked
for in turn over HTTP, behind those before it, and made certain by a bias: its log probability is told as it was
without. Needs a llama-server (docs/engines.md). `--write` puts the table into docs/performance.md.
"""

import argparse
import math
import statistics
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path
from typing import Any

import httpx
import torch
from peft import PeftModel
from torch.nn.functional import cross_entropy
from transformers import AutoModelForCausalLM, AutoTokenizer

from benchmarks.document import write
from benchmarks.server import CHECKOUT, server
from pretraining import corpus
from runtime.server.answering import engines

MODEL, ADAPTER = "tiny-python", "adapted"
ROWS = 400
CERTAIN = 100  # a bias that no logit of another token makes up for
AT_ONCE = 8

Losses = list[float]
Measured = dict[str, Losses]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0] if __doc__ else None)
    parser.add_argument("--documents", type=int, default=16, help="(default: %(default)s)")
    parser.add_argument("--tokens", type=int, default=128, help="of each document (default: %(default)s)")
    parser.add_argument("--write", action="store_true", help="put the result into docs/performance.md")
    options = parser.parse_args()
    documents = held_out(options.documents, options.tokens)
    with tempfile.TemporaryDirectory() as folder:
        root = Path(folder)
        with server(root, [], "--no-spare-trainer") as http:
            train(http)
        found = {"the base's own weights, in float32": by_transformers(documents, root / "adapters" / ADAPTER)}
        for engine in engines.NAMES:
            with server(root, [], "--no-spare-trainer", "--engine", engine) as http:
                found[f"`--engine {engine}`"] = {name: by_lathe(http, name, documents) for name in (MODEL, ADAPTER)}
    text = "\n".join(table(found))
    print(text)
    if options.write:
        write("engines", MODEL, text)


def train(http: httpx.Client) -> None:
    """An adapter on rows of the same kind as the held-out documents."""
    rows = [text for text in corpus.read().training if text.startswith("### Instruction")][:ROWS]
    settings = {"num_epochs": 1, "batch_size": 4, "learning_rate": 1e-3, "gradient_accumulation_steps": 1}
    job = {"model_name": MODEL, "adapter_name": ADAPTER, "train_texts": rows, "training_config": settings}
    job_id = http.post("/training/start", json=job).raise_for_status().json()["job_id"]
    while (status := http.get(f"/training/status/{job_id}").json())["status"] != "completed":
        if status["status"] == "failed":
            sys.exit(status["error_message"])
        time.sleep(0.5)


def held_out(count: int, length: int) -> list[list[int]]:
    tokenizer: Any = AutoTokenizer.from_pretrained(CHECKOUT / "models" / MODEL)
    texts = (tokenizer(text[: 16 * length])["input_ids"][:length] for text in corpus.read().held_out)
    return [tokens for tokens in texts if len(tokens) == length][:count]


def by_transformers(documents: list[list[int]], adapter: Path) -> Measured:
    base: Any = AutoModelForCausalLM.from_pretrained(CHECKOUT / "models" / MODEL, dtype=torch.float32)
    found = {MODEL: losses(base, documents)}
    return found | {ADAPTER: losses(PeftModel.from_pretrained(base, adapter), documents)}


def losses(model: Any, documents: list[list[int]]) -> Losses:  # noqa: ANN401  with and without an adapter
    found: Losses = []
    for tokens in documents:
        with torch.inference_mode():
            logits_TV = model(torch.tensor([tokens])).logits[0, :-1]
        found += cross_entropy(logits_TV, torch.tensor(tokens[1:]), reduction="none").tolist()
    return found


def by_lathe(http: httpx.Client, model: str, documents: list[list[int]]) -> Losses:
    places = [(tokens[:end], tokens[end]) for tokens in documents for end in range(1, len(tokens))]
    with ThreadPoolExecutor(AT_ONCE) as pool:
        return list(pool.map(partial(loss, http, model), *zip(*places, strict=True)))


def loss(http: httpx.Client, model: str, before: Sequence[int], token: int) -> float:
    asked = {"model": model, "prompt": before, "max_tokens": 1, "temperature": 0, "logprobs": 1}
    url = f"{str(http.base_url).replace('/api', '/v1')}completions"
    reply = http.post(url, json=asked | {"logit_bias": {token: CERTAIN}})
    reply.raise_for_status()
    [logprob] = reply.json()["choices"][0]["logprobs"]["token_logprobs"]
    return -float(logprob)


def table(found: dict[str, Measured]) -> Iterator[str]:
    yield "| weights | computed by | loss | above the first | perplexity | mean difference of a token's loss |"
    yield "| --- | --- | --- | --- | --- | --- |"
    reference = next(iter(found.values()))
    for model, shown in ((MODEL, "the base"), (ADAPTER, "with an adapter")):
        for name, measured in found.items():
            mean = statistics.mean(measured[model])
            above = mean - statistics.mean(reference[model])
            pairs = zip(measured[model], reference[model], strict=True)
            apart = statistics.mean(abs(one - other) for one, other in pairs)
            yield f"| {shown} | {name} | {mean:.4f} | {above:+.4f} | {math.exp(mean):.2f} | {apart:.4f} |"


if __name__ == "__main__":
    main()
