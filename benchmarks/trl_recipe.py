"""`python -m benchmarks.trl_recipe JOB_DIR [--packing]`: TRL's SFTTrainer on a job's folder, for comparison.

As TRL has it: its own preparation of the quantized model, gradient checkpointing, bf16. With `--packing` it packs the
examples into rows of `max_seq_length` tokens and takes half as many rows a step as there were examples, which are
about as many tokens; its batches are then others.
"""

import sys

from datasets import Dataset
from torch.utils.data import SequentialSampler
from trl import SFTConfig, SFTTrainer

from benchmarks import peer


class InOrder(SFTTrainer):  # type: ignore[misc]
    def _get_train_sampler(self, train_dataset: Dataset = None) -> SequentialSampler:
        return SequentialSampler(train_dataset or self.train_dataset)


def main() -> None:
    job = peer.read()
    packing = "--packing" in sys.argv
    changes = {}
    if packing:
        rows = max(1, job.arguments["per_device_train_batch_size"] // 2)
        changes = {"per_device_train_batch_size": rows, "max_steps": -1, "num_train_epochs": 1}
    trainer = InOrder(
        model=job.base,
        args=SFTConfig(**job.arguments | changes, max_length=job.max_seq_length, packing=packing),
        train_dataset=Dataset.from_list([{"input_ids": ids} for ids in job.examples]),
        processing_class=job.tokenizer,
        peft_config=job.lora,
        callbacks=[peer.Steps()],
    )
    trainer.train()


if __name__ == "__main__":
    main()
