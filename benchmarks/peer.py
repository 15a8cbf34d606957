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

from runtime.model.bases import quantization
from runtime.model.tokenizers import load_tokenizer
from runtime.trainer.batches import examples_of_step
from state import config, jobs, models
from state.jobs import JobFolder
from state.root import DataRoot
from state.row_source import RowSource
from state.rows.row import Row, Text


class PeerJob(Struct, frozen=True):
    """`rows` are every step's, one after another, and `examples` the texts among them; `arguments` are those of any
    TrainingArguments.
    """

    tokenizer: PreTrainedTokenizerBase
    rows: list[Row]
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
    ids_of = tokenizer(texts)["input_ids"] if texts else []
    return [[*ids, tokenizer.eos_token_id][:max_length] for ids in ids_of]


def read(*, quantized: bool = True) -> PeerJob:
    """The job of the folder that the command line names, its base in NF4 or in bf16."""
    folder = JobFolder(Path(sys.argv[1]).resolve())
    root = DataRoot.at(folder.path.parent.parent)
    job = jobs.read_job(folder)
    settings = job.training_config
    found = models.find(root, job.model_name)
    logging.getLogger("bitsandbytes").setLevel(logging.ERROR)
    tokenizer = load_tokenizer(found.source)
    rows = [row for _, row in RowSource(folder.train_file.name, str(folder.train_file)).rows()]
    max_seq_length = settings.max_seq_length or config.DEFAULT_MAX_SEQ_LENGTH
    steps = config.total_steps(settings, len(rows))
    ordered = [rows[index] for step in range(steps) for index in examples_of_step(settings, len(rows), step, job.seed)]
    examples = tokenized(tokenizer, [row.text for row in ordered if isinstance(row, Text)], max_seq_length)
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
    return PeerJob(tokenizer, ordered, examples, base, adapter, arguments, max_seq_length)
