"""A data root that looks lived in: jobs of every state, curves, logs, samples, adapters, data sets, hostile texts.

No model computes anything: they are files as people and trainers leave them.
"""

import json
import math
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from datetime import UTC, datetime, timedelta
from functools import cache
from pathlib import Path
from random import Random
from typing import Any

from state import locks
from state.jobs import JobFolder

HOSTILE = '<img src=x onerror="document.title=1"> & "quotes" مرحبا 🦙 ' + "W" * 300
NAMES = ["support-r16", "sql-r64", "summaries", "commit-messages", "recipes", "haiku", "triage", "translate-de"]
PROMPT = "### Instruction:\nAdd two numbers\n\n### Response:\n"
BASES = ["tiny-python", "Qwen/Qwen3-4B", "codellama-7b-instruct"]


def job(root: Path, job_id: str, status: str, *, now: datetime, step: int = 0, **fields: Any) -> JobFolder:
    """A job's folder. `fields` are those of job.json, and `record` those of status.json."""
    folder = root / "training_jobs" / f"job_{job_id}"
    (folder / "data").mkdir(parents=True)
    (folder / "data" / "train.jsonl").write_text(json.dumps({"text": "### Response:\nhi"}) + "\n")
    record = fields.pop("record", {})
    age = timedelta(minutes=fields.pop("minutes_ago", 60))
    settings = {"model_name": "tiny-python", "adapter_name": job_id, "created_at": _time(now - age)}
    (folder / "job.json").write_text(json.dumps({"version": 1, "job_id": job_id} | settings | fields))
    total = 600
    state = {"status": status, "current_step": step, "total_steps": total, "progress": round(100 * step / total, 1)}
    if status == "completed":
        state |= {"progress": 100.0}
    if step:
        curve = points(step, seed=sum(job_id.encode()) % 20)
        (folder / "metrics.jsonl").write_text("".join(json.dumps(point) + "\n" for point in curve))
        losses = [point["loss"] for point in curve if "loss" in point]
        evals = [point["eval_loss"] for point in curve if "eval_loss" in point]
        state |= {"current_loss": losses[-1], "learning_rate": 1e-4, "started_at": _time(now - age)}
        state |= {"metrics": {"train_loss": losses[-1], "eval_loss": evals[-1] if evals else None}}
    if status in {"completed", "failed", "cancelled"}:
        state |= {"completed_at": _time(now - age + timedelta(minutes=17))}
    (folder / "status.json").write_text(json.dumps({"version": 1} | state | record))
    return JobFolder(folder)


@cache
def points(steps: int, seed: int = 7, every: int = 5) -> list[dict[str, Any]]:
    """A plausible curve, a point each `every` steps."""
    random = Random(seed)  # noqa: S311  no secret
    low = 0.4 + random.random()
    found: list[dict[str, Any]] = []
    for step in range(every, steps + 1, every):
        loss = low + 2.4 * math.exp(-step / 120) + random.gauss(0, 0.07)
        warm = min(1.0, step / 60)
        found.append(
            {
                "step": step,
                "epoch": round(step / 200, 3),
                "loss": round(loss, 4),
                "learning_rate": round(2e-4 * warm * (1 - step / (steps + 60)), 9),
                "grad_norm": round(0.6 + 0.5 * random.random(), 3),
                "tokens": 4100,
                "tokens_per_second": round(2140 + random.gauss(0, 60), 1),
                "memory_mb": round(3100 + min(step, 90) * 2.0, 1),
                "elapsed_s": round(step * 1.9, 1),
            }
        )
        if step % 100 == 0:
            found.append({"step": step, "epoch": step / 200, "eval_loss": round(loss + 0.06, 4)})
    return found


def adapter(root: Path, name: str, *, now: datetime, **fields: Any) -> None:
    folder = root / "adapters" / name
    folder.mkdir(parents=True)
    (folder / "adapter_config.json").write_text(
        json.dumps({"peft_type": "LORA", "base_model_name_or_path": "tiny-python", "r": 16, "lora_alpha": 32})
    )
    (folder / "adapter_model.safetensors").write_bytes(b"\0" * 4096)
    record = {"version": 1, "model_name": "tiny-python", "created_at": _time(now)}
    record["metrics"] = {"final_loss": 0.41, "eval_loss": 0.455, "training_steps": 600, "training_time_minutes": 17.0}
    (folder / "adapter.json").write_text(json.dumps(record | fields))


def dataset(root: Path, name: str, rows: list[object]) -> None:
    folder = root / "training_data" / name
    folder.mkdir(parents=True)
    lines = [row if isinstance(row, str) else json.dumps(row) for row in rows]
    (folder / "train.jsonl").write_text("".join(f"{line}\n" for line in lines))


@contextmanager
def furnished(root: Path, *, ended: int = 70) -> Iterator[None]:
    """Fill a root. The running job's trainer is this process, as long as the context lasts."""
    now = datetime.now(UTC)
    random = Random(5)  # noqa: S311
    running = job(
        root,
        "my-first",
        "running",
        now=now,
        step=345,
        minutes_ago=11,
        training_config={"learning_rate": 1e-3, "validation_split": 0.1},
        lora_config={"r": 16, "lora_alpha": 32, "target_modules": "all-linear"},
        sample_prompts=[PROMPT],
        dataset_name="support",
        record={
            "epoch": 1.725,
            "tokens_per_second": 2140.0,
            "memory_mb": 3280.0,
            "ends_at": _time(now + timedelta(minutes=8)),
        },
    )
    running.log_file.write_text(
        "bf16: this CPU computes in it\nreading 1,204 rows\n"
        + "".join(f"\rtokens {n} of 1204" for n in range(0, 1205, 43))
        + "\n"
        + "".join(f"step {point['step']} loss {point.get('loss')}\n" for point in points(345))
    )
    running.samples_file.write_text("".join(json.dumps(sample) + "\n" for sample in _samples(PROMPT)))
    job(
        root,
        "polish-v2",
        "pending",
        now=now,
        minutes_ago=8,
        model_name="Qwen/Qwen3-4B",
        training_config={"keep_epochs": 2},
    )
    job(root, "sql-small", "pending", now=now, minutes_ago=6)
    job(root, "held", "paused", now=now, step=120, minutes_ago=60 * 26)
    failure = {"error_message": _failure(), "remedy": {"training_config.max_seq_length": 512}}
    job(
        root,
        "oom",
        "failed",
        now=now,
        step=105,
        minutes_ago=90,
        record=failure,
        dataset_name="support",
    )
    job(
        root, "diverged", "failed", now=now, step=0, minutes_ago=95, record={"error_message": f"Loss is NaN: {HOSTILE}"}
    )
    job(root, "n" * 64, "completed", now=now, step=600, minutes_ago=100, description=HOSTILE)
    broken = job(root, "broken", "completed", now=now, step=50, minutes_ago=101)
    broken.job_file.write_text('{"model_name": 3')
    for n in range(ended):
        status = random.choice(["completed"] * 6 + ["failed", "cancelled"])
        name = f"{random.choice(NAMES)}-{n}"
        base = random.choice(BASES)
        job(
            root,
            name,
            status,
            now=now,
            step=600 if status == "completed" else 205,
            minutes_ago=150 + 47 * n,
            model_name=base,
        )
    for name in NAMES:
        adapter(root, name, now=now - timedelta(hours=len(name)), description=f"Made for {name}", tags=["fixture"])
    adapter(root, "renamed", now=now, job_id="n" * 64)
    adapter(root, "hostile", now=now, description=HOSTILE, tags=["<b>bold</b>", "مرحبا"])
    (root / "adapters" / NAMES[0] / "adapter_config.json").write_text('{"peft_type": "OFT"}')
    dataset(root, "support", [_chat(n) for n in range(200)] + ["{not json", {"messages": []}])
    dataset(root, "hostile", [{"text": HOSTILE}, {"text": HOSTILE + "again"}])
    with ExitStack() as held:
        held.enter_context(locks.hold(running.trainer_lock, timeout_s=5))
        yield


def _chat(n: int) -> dict[str, object]:
    question, answer = f"How do I reset password {n}?", "Open Settings, then Security. " * (1 + n % 9)
    return {"messages": [{"role": "user", "content": question}, {"role": "assistant", "content": answer}]}


def _samples(prompt: str) -> list[dict[str, object]]:
    answers = {0: "import os\nimport sys", 100: "def add(a, b):\n    return a", 300: "def add(a, b):\n    return a + b"}
    return [
        {"step": step, "prompt": prompt, "answer": answer, "finish_reason": "stop"} for step, answer in answers.items()
    ] + [{"step": 300, "prompt": HOSTILE, "answer": HOSTILE, "finish_reason": "length"}]


def _failure() -> str:
    return (
        "Out of memory: resume the job, which then plans with what is free, or start it again with a lower "
        "training_config.max_seq_length\n\n"
        "The end of its log:\nstep 100 loss 1.71\nstep 105 loss 1.69\ntorch.OutOfMemoryError"
    )


def _time(moment: datetime) -> str:
    return moment.isoformat().replace("+00:00", "Z")
