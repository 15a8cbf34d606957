"""A job's folder as other tools' trainers take it: the same examples a step, seed, schedule and quantized base.

Their progress is a line of JSON a step on standard output.
"""

import json
import logging
import sys
import time
from pathlib import Path
from typing import Any

import torch
from msgspec import Struct
from peft import LoraConfig
from transformers import (
    AutoModelForCausalLM,
    PreTrainedModel,
    PreTrainedTokenizerBase,
    TrainerCallback,
    TrainerControl,
    TrainerState,
    TrainingArguments,
)

from benchmarks.texts import texts_of
from runtime.model.bases import load_tokenizer, quantization
from runtime.trainer.batches import examples_of_step
from state import config, jobs, models
from state.jobs import JobFolder
from state.root import DataRoot


class PeerJob(Struct, frozen=True):
    """`examples` are every step's, one after another; `arguments` are those of any TrainingArguments."""

    tokenizer: PreTrainedTokenizerBase
    examples: list[list[int]]
    base: PreTrainedModel
    lora: LoraConfig
    arguments: dict[str, Any]
    max_seq_length: int


class Steps(TrainerCallback):
    """Prints each step's loss, the time since the loop began, and the peak of a GPU's allocator."""

    began = 0.0

    def on_train_begin(
        self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **_: object
    ) -> None:
        del args, state, control
        self.began = time.monotonic()

    def on_log(self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **others: object) -> None:
        del args, control
        logs = others["logs"]
        if isinstance(logs, dict) and "loss" in logs:
            elapsed_s = time.monotonic() - self.began
            device_mb = torch.cuda.max_memory_allocated() / 2**20 if torch.cuda.is_available() else None
            line = {
                "step": state.global_step,
                "loss": float(logs["loss"]),
                "elapsed_s": elapsed_s,
                "device_mb": device_mb,
            }
            print(json.dumps(line), flush=True)


def tokenized(tokenizer: PreTrainedTokenizerBase, texts: list[str], max_length: int) -> list[list[int]]:
    """Texts as Lathe trains on them: closed by the end token, cut at `max_length` tokens."""
    return [[*ids, tokenizer.eos_token_id][:max_length] for ids in tokenizer(texts)["input_ids"]]


def read(*, quantized: bool = True) -> PeerJob:
    """The job of the folder that the command line names, its base in NF4 or in bf16."""
    folder = JobFolder(Path(sys.argv[1]).resolve())
    root = DataRoot.at(folder.path.parent.parent)
    job = jobs.read_job(folder)
    settings = job.training_config
    found = models.find(root, job.model_name)
    logging.getLogger("bitsandbytes").setLevel(logging.ERROR)
    tokenizer = load_tokenizer(found.source)
    texts = texts_of(folder.train_file)
    max_seq_length = settings.max_seq_length or config.DEFAULT_MAX_SEQ_LENGTH
    examples = tokenized(tokenizer, texts, max_seq_length)
    steps = config.total_steps(settings, len(examples))
    ordered = [
        examples[index] for step in range(steps) for index in examples_of_step(settings, len(examples), step, job.seed)
    ]
    base = AutoModelForCausalLM.from_pretrained(
        found.source,
        quantization_config=quantization(torch.bfloat16) if quantized else None,
        dtype=torch.bfloat16,
        device_map={"": "cuda:0" if torch.cuda.is_available() else "cpu"},
    )
    base.config.use_cache = False
    torch.manual_seed(job.seed)
    lora = job.lora
    present = models.adaptable_modules(models.matrices(models.tensors(Path(found.source))), base.config.model_type)
    arguments = {
        "output_dir": str(folder.path / "peer"),
        "max_steps": steps,
        "per_device_train_batch_size": settings.batch_size,
        "gradient_accumulation_steps": settings.gradient_accumulation_steps,
        "learning_rate": settings.learning_rate,
        "warmup_steps": config.resolved_warmup_steps(settings, steps),
        "logging_steps": 1,
        "save_strategy": "no",
        "report_to": [],
        "bf16": True,
        "use_cpu": not torch.cuda.is_available(),
        "disable_tqdm": True,
    }
    adapter = LoraConfig(
        r=lora.r,
        lora_alpha=lora.lora_alpha,
        lora_dropout=lora.lora_dropout,
        target_modules=config.resolved_target_modules(lora, present, job.model_name),
        bias=lora.bias,
        task_type=lora.task_type,
    )
    return PeerJob(tokenizer, ordered, base, adapter, arguments, max_seq_length)
