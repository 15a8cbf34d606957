"""`python -m benchmarks.plain_recipe JOB_DIR`: today's usual QLoRA recipe on a job's folder, for comparison.

transformers' Trainer, peft and bitsandbytes as their documentation puts them together: right-padded batches, gradient
checkpointing, `prepare_model_for_kbit_training` (norms and embeddings in float32), autocast to bf16, all logits. Takes
the examples of each step, the seed and the schedule that Lathe's trainer takes, and prints a line of JSON a step.
"""

import json
import logging
import sys
import time
from pathlib import Path

import torch
from peft import LoraConfig, get_peft_model, prepare_model_for_kbit_training
from torch.utils.data import Dataset, SequentialSampler
from transformers import (
    AutoModelForCausalLM,
    BitsAndBytesConfig,
    DataCollatorForLanguageModeling,
    Trainer,
    TrainerCallback,
    TrainerControl,
    TrainerState,
    TrainingArguments,
)

from runtime.models import load_tokenizer
from runtime.trainer.batches import examples_of_step, tokenize
from state import config, jobs, models
from state.jobs import JobFolder
from state.root import DataRoot


class Examples(Dataset[dict[str, list[int]]]):
    """Every step's examples, one after another."""

    def __init__(self, examples: list[list[int]]) -> None:
        self._examples = examples

    def __len__(self) -> int:
        return len(self._examples)

    def __getitem__(self, index: int) -> dict[str, list[int]]:
        return {"input_ids": self._examples[index]}


class InOrder(Trainer):
    def _get_train_sampler(self, train_dataset: object = None) -> SequentialSampler:
        if not isinstance(train_dataset, Examples):
            raise TypeError("only for these examples")
        return SequentialSampler(train_dataset)


class Steps(TrainerCallback):
    """Prints each step's loss and the time since the loop began."""

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
            print(json.dumps({"step": state.global_step, "loss": logs["loss"], "elapsed_s": elapsed_s}), flush=True)


def main() -> None:
    folder = JobFolder(Path(sys.argv[1]).resolve())
    root = DataRoot.at(folder.path.parent.parent)
    job = jobs.read_job(folder)
    settings = job.training_config
    found = models.find(root, job.model_name)
    logging.getLogger("bitsandbytes").setLevel(logging.ERROR)
    tokenizer = load_tokenizer(found.source)
    texts = jobs.train_texts(root, folder, job)
    examples = tokenize(tokenizer, texts, settings.max_seq_length or config.DEFAULT_MAX_SEQ_LENGTH).examples
    steps = config.total_steps(settings, len(examples))
    ordered = [
        examples[index] for step in range(steps) for index in examples_of_step(settings, len(examples), step, job.seed)
    ]
    base = AutoModelForCausalLM.from_pretrained(
        found.source,
        quantization_config=BitsAndBytesConfig(
            load_in_4bit=True,
            bnb_4bit_quant_type="nf4",
            bnb_4bit_use_double_quant=True,
            bnb_4bit_compute_dtype=torch.bfloat16,
        ),
        dtype=torch.bfloat16,
        device_map={"": "cuda:0" if torch.cuda.is_available() else "cpu"},
    )
    base.config.use_cache = False
    base = prepare_model_for_kbit_training(base)
    torch.manual_seed(job.seed)
    lora = job.lora_config
    present = models.linear_modules(models.tensors(Path(found.source)))
    model = get_peft_model(
        base,
        LoraConfig(
            r=lora.r,
            lora_alpha=lora.lora_alpha,
            lora_dropout=lora.lora_dropout,
            target_modules=config.resolved_target_modules(lora, present, job.model_name),
            bias=lora.bias,
            task_type=lora.task_type,
        ),
    )
    arguments = TrainingArguments(
        output_dir=str(folder.path / "plain"),
        max_steps=steps,
        per_device_train_batch_size=settings.batch_size,
        gradient_accumulation_steps=settings.gradient_accumulation_steps,
        learning_rate=settings.learning_rate,
        warmup_steps=config.resolved_warmup_steps(settings, steps),
        logging_steps=1,
        save_strategy="no",
        report_to=[],
        bf16=True,
        use_cpu=not torch.cuda.is_available(),
        gradient_checkpointing=True,
        gradient_checkpointing_kwargs={"use_reentrant": False},
        disable_tqdm=True,
    )
    trainer = InOrder(
        model=model,
        args=arguments,
        train_dataset=Examples(ordered),
        data_collator=DataCollatorForLanguageModeling(tokenizer, mlm=False),
        callbacks=[Steps()],
    )
    trainer.train()


if __name__ == "__main__":
    main()
