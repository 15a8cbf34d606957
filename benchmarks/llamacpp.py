"""`python -m benchmarks.llamacpp`: llama.cpp, given real exports, writes the tokens that transformers writes.

A server trains an adapter on tiny-python and exports it in each format. Greedy completions by llama.cpp, of the merged
GGUF and of the LoRA file over the base's, are compared with those of the merged folder in transformers in float32, as
llama.cpp adds up. The base's GGUF is the export of the same adapter with zeros in it. Exits with 1 where they differ.

llama.cpp is llama-cpp-python, compiled once into an environment of its own, in a quarter of an hour on 2 cores.
"""

import argparse
import json
import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import httpx
import torch
from safetensors.torch import load_file, save_file
from transformers import AutoModelForCausalLM, AutoTokenizer

from benchmarks import environments
from benchmarks.server import CHECKOUT, server
from benchmarks.texts import texts_of

PACKAGE = "llama-cpp-python==0.3.36"
TOKENS = 64
PROMPTS = [
    "### Instruction:\nAdd two numbers\n\n### Response:\n",
    "### Instruction:\nReverse a list\n\n### Response:\n",
    "### Instruction:\nSay hello in Chinese: 你好\n\n### Response:\n",
    "def fibonacci(n):\n    ",
    "import os\n\n\nclass Folder:\n",
    "for  i in range(12345):\n\t\tprint(i)  # naïve\n",
]


def main() -> int:
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n", maxsplit=1)[0])
    parser.add_argument(
        "--python", type=Path, help=f"one that has {PACKAGE} (default: an environment made in .cache/llamacpp)"
    )
    python = parser.parse_args().python or environments.have("llamacpp", _fill)
    with tempfile.TemporaryDirectory(prefix="lathe-llamacpp-") as folder:
        root = Path(folder)
        with server(root, [], "--no-spare-trainer") as http:
            train(http)
            exported = {name: root / export(http, "tried", name) for name in ("merged", "gguf", "gguf-lora")}
            add_zeros(http, root / "adapters" / "tried", root / "adapters" / "zeros")
            base = root / export(http, "zeros", "gguf") / "model.gguf"
        models = [
            {"model": str(exported["gguf"] / "model.gguf")},
            {"model": str(base), "lora": str(exported["gguf-lora"] / "adapter.gguf")},
        ]
        merged, with_lora = by_llama_cpp(python, models)
        expected = by_transformers(exported["merged"])
    is_same = [
        report("merged, model.gguf", expected, merged),
        report("adapter.gguf over the base", expected, with_lora),
    ]
    return 0 if all(is_same) else 1


def train(http: httpx.Client) -> None:
    texts = texts_of(CHECKOUT / "demo" / "instructions.jsonl")
    settings = json.loads((CHECKOUT / "demo" / "settings.json").read_text())
    job = {"model_name": "tiny-python", "adapter_name": "tried", "train_texts": texts} | settings
    job_id = http.post("/training/start", json=job).raise_for_status().json()["job_id"]
    while (status := http.get(f"/training/status/{job_id}").json())["status"] in ("pending", "running"):
        time.sleep(0.5)
    if status["status"] != "completed":
        raise SystemExit(status["error_message"])


def export(http: httpx.Client, adapter: str, export_format: str) -> str:
    reply = http.post(f"/adapters/{adapter}/export", json={"format": export_format})
    if reply.status_code != httpx.codes.OK:
        raise SystemExit(reply.text)
    return str(reply.json()["path"])


def add_zeros(http: httpx.Client, adapter: Path, target: Path) -> None:
    """An adapter that changes nothing."""
    hidden = target.with_name(f".{target.name}.new")
    shutil.copytree(adapter, hidden)
    weights = {name: torch.zeros_like(value) for name, value in load_file(hidden / "adapter_model.safetensors").items()}
    (hidden / "adapter_model.safetensors").unlink()  # a hard link of the adapter's own
    save_file(weights, hidden / "adapter_model.safetensors")
    hidden.rename(target)
    while http.get(f"/adapters/{target.name}").status_code != httpx.codes.OK:
        time.sleep(0.1)


def by_llama_cpp(python: Path, models: list[dict[str, str]]) -> list[list[dict[str, list[int]]]]:
    question = json.dumps({"models": models, "prompts": PROMPTS, "tokens": TOKENS})
    program = Path(__file__).with_name("llamacpp_tokens.py")
    done = subprocess.run([python, program], input=question, capture_output=True, text=True, check=False)
    if done.returncode != 0:
        raise SystemExit(done.stderr)
    answers: list[list[dict[str, list[int]]]] = json.loads(done.stdout)
    return answers


def by_transformers(folder: Path) -> list[dict[str, list[int]]]:
    tokenizer: Any = AutoTokenizer.from_pretrained(folder)
    model: Any = AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float32)
    answers = []
    for prompt in PROMPTS:
        tokens = tokenizer(prompt)["input_ids"]
        written = model.generate(torch.tensor([tokens]), max_new_tokens=TOKENS, do_sample=False)[0, len(tokens) :]
        answers.append({"prompt": tokens, "written": written.tolist()})
    return answers


def report(name: str, expected: list[dict[str, list[int]]], found: list[dict[str, list[int]]]) -> bool:
    """Print how far both agree, prompt by prompt; whether they do to the end."""
    print(f"{name}:")
    for prompt, one, other in zip(PROMPTS, expected, found, strict=True):
        tokenized = "" if one["prompt"] == other["prompt"] else ", the prompt's tokens differ"
        pairs = zip(one["written"], other["written"], strict=False)
        same = next((at for at, (mine, its) in enumerate(pairs) if mine != its), len(one["written"]))
        print(f"  {same:3} of {len(one['written']):3} tokens are the same{tokenized}: {prompt!r}")
    return expected == found


def _fill(python: Path) -> None:
    subprocess.run([python, "-m", "pip", "install", "--quiet", PACKAGE], check=True)


if __name__ == "__main__":
    sys.exit(main())
