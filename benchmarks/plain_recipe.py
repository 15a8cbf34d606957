"""`python -m benchmarks.plain_recipe JOB_DIR [--bf16]`: today's usual QLoRA recipe on a job's folder, for comparison.

transformers' Trainer, peft and bitsandbytes as their documentation puts them together: right-padded batches, gradient
checkpointing, `prepare_model_for_kbit_training` (norms and embeddings in float32), autocast to bf16, all logits. With
`--bf16` plain LoRA instead: the base is not quantized.
"""

import sys

from peft import get_peft_model, prepare_model_for_kbit_training
from torch.utils.data import Dataset, SequentialSampler
from transformers import DataCollatorForLanguageModeling, Trainer, TrainingArguments

from benchmarks import peer


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


def main() -> None:
    quantized = "--bf16" not in sys.argv[2:]
    job = peer.read(quantized=quantized)
    base = prepare_model_for_kbit_training(job.base) if quantized else job.base
    trainer = InOrder(
        model=get_peft_model(base, job.lora),
        args=TrainingArguments(
            **job.arguments,
            gradient_checkpointing=True,
            gradient_checkpointing_kwargs={"use_reentrant": False},
        ),
        train_dataset=Examples(job.examples),
        data_collator=DataCollatorForLanguageModeling(job.tokenizer, mlm=False),
        callbacks=[peer.Steps()],
    )
    trainer.train()


if __name__ == "__main__":
    main()
