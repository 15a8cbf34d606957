"""`python -m benchmarks.trl_dpo_recipe JOB_DIR [--precompute]`: TRL's DPOTrainer on a job's folder, for comparison.

As TRL has it: its own preparation of the quantized model, gradient checkpointing, bf16, and a second forward pass with
the adapter off at each step. With `--precompute` it computes the reference before its first step, as Lathe does; a line
says how long that took.
"""

import json
import sys
import time

from datasets import Dataset
from torch.utils.data import SequentialSampler
from trl import DPOConfig, DPOTrainer

from benchmarks import peer
from state.rows.row import Preference


class InOrder(DPOTrainer):  # type: ignore[misc]
    """Takes the pairs in the job's order, and tells how long its reference took."""

    def _get_train_sampler(self, train_dataset: Dataset = None) -> SequentialSampler:
        return SequentialSampler(train_dataset or self.train_dataset)

    def _precompute_ref_logps(self, *arguments: object) -> Dataset:
        began = time.monotonic()
        computed = super()._precompute_ref_logps(*arguments)
        print(json.dumps({"reference_s": time.monotonic() - began}), flush=True)
        return computed


def main() -> None:
    job = peer.read()
    pairs = [row for row in job.rows if isinstance(row, Preference)]
    trainer = InOrder(
        model=job.base,
        args=DPOConfig(
            **job.arguments, max_length=job.max_seq_length, precompute_ref_log_probs="--precompute" in sys.argv
        ),
        train_dataset=Dataset.from_list(
            [{"prompt": pair.prompt, "chosen": pair.chosen, "rejected": pair.rejected} for pair in pairs]
        ),
        processing_class=job.tokenizer,
        peft_config=job.lora,
        callbacks=[peer.Steps()],
    )
    trainer.train()


if __name__ == "__main__":
    main()
