"""LLaMA-Factory's trainer on a job's folder, for comparison, in an environment of its own.

Its release 0.9.5 takes no peft after 0.18 and no transformers after 5.6, so other libraries are compared along with it.
It wants torchvision and torchaudio, whose packages do not load beside a CPU build of torch: the one is taken away
again, and an empty module stands for the other, which texts never call. Its pretraining stage is what trains on whole
texts; it puts an end-of-text token behind each.
"""

import json
import os
import subprocess
from pathlib import Path

from benchmarks import environments
from benchmarks.texts import texts_of
from state import config, jobs
from state.jobs import JobFolder

PACKAGES = ("torch==2.13.0", "llamafactory==0.9.5", "bitsandbytes==0.50.2")


def command(folder: JobFolder) -> list[str]:
    """Lay out a job as it takes one; returns the command that trains it. The first call makes the environment."""
    import torch  # noqa: PLC0415

    from runtime.trainer.batches import examples_of_step  # noqa: PLC0415

    job, texts = jobs.read_job(folder), texts_of(folder.train_file)
    settings = job.training_config
    steps = config.total_steps(settings, len(texts))
    ordered = [
        texts[index] for step in range(steps) for index in examples_of_step(settings, len(texts), step, job.seed)
    ]
    target = output(folder)
    target.mkdir()
    (target / "job.json").write_text(json.dumps([{"text": text} for text in ordered]))
    (target / "dataset_info.json").write_text(
        json.dumps({"job": {"file_name": "job.json", "columns": {"prompt": "text"}}})
    )
    modules = job.lora.target_modules
    arguments = {
        "model_name_or_path": str(folder.path.parent.parent / "models" / job.model_name),
        "stage": "pt",
        "do_train": True,
        "finetuning_type": "lora",
        "lora_target": "all" if isinstance(modules, str) else ",".join(modules or []),
        "lora_rank": job.lora.r,
        "lora_alpha": job.lora.lora_alpha,
        "lora_dropout": job.lora.lora_dropout,
        "quantization_bit": 4,
        "quantization_method": "bnb",
        "double_quantization": True,
        "dataset": "job",
        "dataset_dir": str(target),
        "disable_shuffling": True,
        "template": "default",
        "cutoff_len": settings.max_seq_length,
        "packing": False,
        "output_dir": str(target),
        "logging_steps": 1,
        "save_strategy": "no",
        "report_to": "none",
        "per_device_train_batch_size": settings.batch_size,
        "gradient_accumulation_steps": settings.gradient_accumulation_steps,
        "learning_rate": settings.learning_rate,
        "max_steps": steps,
        "bf16": True,
        "use_cpu": not torch.cuda.is_available(),
    }
    (target / "arguments.yaml").write_text(json.dumps(arguments))  # JSON is YAML; it fails to read its own .json
    python = environments.have("llamafactory", _fill)
    return [str(python.with_name("llamafactory-cli")), "train", str(target / "arguments.yaml")]


def output(folder: JobFolder) -> Path:
    return folder.path / "llamafactory"


def results(folder: JobFolder) -> tuple[float, list[float]]:
    """The seconds of its loop, and the steps' losses."""
    seconds = json.loads((output(folder) / "train_results.json").read_text())["train_runtime"]
    lines = [json.loads(line) for line in (output(folder) / "trainer_log.jsonl").read_text().splitlines()]
    return float(seconds), [line["loss"] for line in lines if "loss" in line]


def _fill(python: Path) -> None:
    pip = [str(python), "-m", "pip"]
    subprocess.run([*pip, "install", "--quiet", *PACKAGES], check=True, env=os.environ | {"PIP_CONSTRAINT": ""})
    subprocess.run([*pip, "uninstall", "--quiet", "--yes", "torchvision", "torchaudio"], check=True)
    (environments.site_packages(python) / "torchaudio.py").touch()
