"""Whether what Lathe promises is so on a GPU: its server, its spare trainer, its forecast, its exports."""

import math
import os
import shutil
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import httpx
import msgspec
import torch
from transformers import AutoModelForCausalLM, AutoTokenizer

from benchmarks import plan
from benchmarks.gpu.setting import Failed, Setting, make_job, texts
from benchmarks.server import CHECKOUT, server
from benchmarks.serving import make_adapters
from runtime.messages.spare import Assignment
from state.jobs import JobFolder

ADAPTED = ("base", "one", "other")  # tiny-python's copy, and two adapters on it
PROMPTS = 4
NEW_TOKENS = 32
NEAR_TIE = 0.3  # nats between two tokens that bf16 may rank either way: its logits of 8 and more are 0.06 apart
TAKEN_AT_MOST, TAKEN_AT_LEAST = 1.1, 0.5  # of the memory that a forecast foretells


def forecast(setting: Setting) -> str:
    """The memory that POST /training/plan foretells, beside what the job takes."""
    examples = ["\n\n".join(texts()[at:] + texts()[:at]) for at in range(12)]
    body = {
        "model_name": "tiny-python",
        "train_texts": examples,
        "training_config": {"max_steps": 6, "batch_size": 8, "gradient_accumulation_steps": 1, "logging_steps": 1},
    }
    with server(setting.folder, [], "--no-spare-trainer") as http:
        found = plan.compare(http, setting.folder, body)
    ratio = found.peak_mb / found.foretold_mb
    told = f"{found.foretold_mb:.0f} MB foretold, {found.peak_mb:.0f} taken"
    if not TAKEN_AT_LEAST <= ratio <= TAKEN_AT_MOST:
        raise Failed(f"{told}: a ratio of {ratio:.2f}")
    return f"{told}, {found.foretold_minutes:.2f} minutes foretold, {found.minutes:.2f} taken"


def side_by_side(setting: Setting) -> str:
    """Answers of the base and of two adapters, asked for at once, against each asked for alone."""
    model = setting.folder / "models" / "base"
    shutil.copytree(CHECKOUT / "models" / "tiny-python", model)
    make_adapters(model, setting.folder / "adapters")
    asked = [(name, prompt) for prompt in _prompts()[:PROMPTS] for name in ADAPTED]
    with server(setting.folder, [], "--no-spare-trainer") as http:
        alone = {(name, prompt): _complete(http, name, prompt) for name, prompt in asked}
        with ThreadPoolExecutor(len(asked)) as pool:
            together = dict(zip(asked, pool.map(lambda each: _complete(http, *each), asked), strict=True))
    if len({str(alone[name, asked[0][1]]["token_logprobs"]) for name in ADAPTED}) < len(ADAPTED):
        raise Failed("an adapter changes nothing")
    gaps = [_parting(alone[each], together[each]) for each in asked]
    parted = [gap for gap in gaps if gap is not None]
    told = f"{gaps.count(None)} of {len(gaps)} answers by three are the same side by side as alone"
    if any(gap > NEAR_TIE for gap in parted):
        raise Failed(f"{told}; one parts where the other token is {max(parted):.2f} nats less likely")
    return told + (f"; the rest part at ties of {max(parted):.3f} nats at most" if parted else "")


def _complete(http: httpx.Client, name: str, prompt: str) -> Any:  # noqa: ANN401  JSON
    """A completion's tokens, and how likely each and its rivals were."""
    body = {"model": name, "prompt": prompt, "max_tokens": NEW_TOKENS, "temperature": 0, "logprobs": 5}
    url = f"{str(http.base_url).replace('/api', '/v1')}completions"
    return http.post(url, json=body).raise_for_status().json()["choices"][0]["logprobs"]


def _parting(alone: dict[str, Any], together: dict[str, Any]) -> float | None:
    """How much less likely than the token that came alone the first other one was; None where all are the same."""
    pairs = list(zip(alone["tokens"], together["tokens"], strict=False))
    at = next((at for at, (one, other) in enumerate(pairs) if one != other), None)
    if at is None:
        return None if len(alone["tokens"]) == len(together["tokens"]) else math.inf
    rivals = alone["top_logprobs"][at]
    return float(alone["token_logprobs"][at] - rivals.get(together["tokens"][at], -math.inf))


def export(setting: Setting) -> str:
    """An adapter merged into its base, loaded and asked by transformers alone."""
    model = setting.folder / "models" / "base"
    shutil.copytree(CHECKOUT / "models" / "tiny-python", model)
    make_adapters(model, setting.folder / "adapters")
    with server(setting.folder, [], "--no-spare-trainer") as http:
        reply = http.post("/adapters/one/export", json={"format": "merged"}).raise_for_status().json()
        served = "".join(_complete(http, "one", _prompts()[0])["tokens"])
    folder = setting.folder / reply["path"]
    where = "cuda" if torch.cuda.is_available() else "cpu"
    merged: Any = AutoModelForCausalLM.from_pretrained(folder, dtype=torch.bfloat16, device_map={"": where})
    tokenizer = AutoTokenizer.from_pretrained(folder)
    prompt = tokenizer(_prompts()[0], return_tensors="pt").to(where)
    logits = merged(**prompt).logits
    if not bool(torch.isfinite(logits).all()):
        raise Failed("the merged model's logits are not all numbers")
    tokens = merged.generate(**prompt, max_new_tokens=NEW_TOKENS, do_sample=False)[0, prompt["input_ids"].shape[1] :]
    text = tokenizer.decode(tokens, skip_special_tokens=True)
    same = next((at for at, (one, two) in enumerate(zip(text, served, strict=False)) if one != two), len(text))
    return f"{reply['size_mb']:.1f} MB, answers {len(text)} characters, the first {same} as the served adapter does"


def spare(setting: Setting) -> str:
    """A trainer that waits with its imports behind it sees the GPU that it was started for, and no other."""
    setting.need_gpu("a spare trainer is started for one")
    nowhere = _trained_by_a_spare(setting.job("nowhere"), "-1")
    first = _trained_by_a_spare(setting.job("first"), "0")
    if " cpu: " not in nowhere:
        raise Failed("told to see no GPU, a spare trainer trains on one all the same")
    if " cuda: " not in first:
        raise Failed("told to see GPU 0, a spare trainer does not train on it")
    return "with CUDA_VISIBLE_DEVICES of -1 it trains on the CPU, with 0 on the GPU"


def _trained_by_a_spare(folder: JobFolder, accelerator: str) -> str:
    """The job's log."""
    make_job(folder, texts(), {"max_steps": 1})
    process = subprocess.Popen(
        [sys.executable, "-m", "runtime.trainer.spare"],
        cwd=CHECKOUT,
        env=os.environ | {"CUDA_VISIBLE_DEVICES": accelerator},
        stdin=subprocess.PIPE,
    )
    try:
        process.communicate(msgspec.json.encode(Assignment(str(folder.path))) + b"\n")
    finally:
        process.kill()
        process.wait()
    return folder.log_file.read_text()


def end_to_end(setting: Setting) -> str:
    """Over HTTP: a job for a server with a spare trainer, its status to the end, its adapter loaded and asked."""
    settings = {"max_steps": 20, "batch_size": 4, "gradient_accumulation_steps": 1}
    body = {"model_name": "tiny-python", "adapter_name": "mine", "train_texts": texts(), "training_config": settings}
    with server(setting.folder, [], "--spare-trainer") as http:
        began = time.monotonic()
        job_id = http.post("/training/start", json=body).raise_for_status().json()["job_id"]
        folder = JobFolder(setting.folder / "training_jobs" / f"job_{job_id}")
        status = plan.wait_for_end(http, job_id)
        if status["status"] != "completed":
            raise Failed(f"the job {status['status']}: {status['error_message']}")
        seconds = time.monotonic() - began
        http.post("/adapters/mine/load").raise_for_status()
        reply = http.post("/generate", json={"prompt": _prompts()[0], "max_new_tokens": 16}).raise_for_status().json()
    kind = "cuda" if torch.cuda.is_available() else "cpu"
    if f" {kind}: " not in folder.log_file.read_text():
        raise Failed(f"the job did not train on {kind}")
    return f"trained on {kind} in {seconds:.1f} s to a loss of {status['current_loss']:.3f}, answers {reply['text']!r}"


def _prompts() -> list[str]:
    mark = "### Response:\n"
    return [text[: text.index(mark) + len(mark)] for text in texts()]
