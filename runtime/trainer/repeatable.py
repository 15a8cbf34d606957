"""The same bits each time: without them a run that was killed and resumed would not end as an undisturbed one.

A CPU computes so by itself. CUDA's usual kernels add in whatever order their blocks end in: flash attention's
gradients differ a little from run to run. torch has another kernel for nearly all of them, when it is told to.
"""

import logging

import torch
from peft import PeftModel

from runtime.trainer.documents import whole
from runtime.trainer.loss import SummedLoss
from state.errors import first_line

TRIAL = [whole([0, 1, 2, 3, 0, 1, 2, 3]), whole([0, 1, 2])]

log = logging.getLogger("trainer")


def prefer(model: PeftModel, summed_loss: SummedLoss) -> None:
    """Have torch take repeatable kernels from now on, unless a trial shows that this model needs one that is not.

    runtime/process/cpu.py has told cuBLAS before.
    """
    # else all new memory would be written to, to find mistakes
    torch.utils.deterministic.fill_uninitialized_memory = False  # type: ignore[attr-defined]
    torch.use_deterministic_algorithms(mode=True)
    gpus = [model.device.index] if model.device.type == "cuda" else []
    try:
        with torch.random.fork_rng(gpus):
            summed_loss(TRIAL).backward()
    except RuntimeError as error:
        if "deterministic" not in str(error):
            raise
        torch.use_deterministic_algorithms(mode=False)
        log.info("A run that is interrupted may end a little differently for it: %s", first_line(error))
    finally:
        model.zero_grad(set_to_none=True)
