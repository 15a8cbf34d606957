"""What a run takes of the memory that there is, measured on the model at hand. Sizes are in bytes."""

import os
from collections.abc import Callable
from typing import Any

import psutil
import torch
from peft import PeftModel
from torch import nn

from runtime.messages.training import MEMORY_LIMIT
from runtime.process import memory as machine_memory
from runtime.trainer.documents import whole
from runtime.trainer.fit import GradientCheckpointing, Needs
from runtime.trainer.head_loss import LOGITS_AT_ONCE
from runtime.trainer.loss import SummedLoss
from state.errors import ServiceError

SPARED = 0.1  # of what is free: for everything else that runs, and for what no measure foresees
TRIAL_TOKENS = 17
TRAINED_BYTES = 12  # a trained value's gradient and AdamW's two moments, in float32
COPIED_BYTES = 10  # of a value in 16 bits: its float32 copy, and the gradients that autograd makes in both types
CACHED_BYTES = 96 * 2**20  # on a CPU, what torch and the allocator keep of the shapes that they have seen
LOGIT_BYTES = 13  # a logit in bf16, then in float32, what is exponentiated of it, and its gradient


def available(device: str) -> int:
    """Total memory this process may use, including what it holds: LATHE_MEMORY_MB, else nearly all that is free.

    Raises ServiceError for a LATHE_MEMORY_MB that is not a number.
    """
    free = [_free(device)]
    if limit := os.environ.get(MEMORY_LIMIT):
        if not limit.isdecimal():
            raise ServiceError(f"{MEMORY_LIMIT} is {limit!r}: it is the memory that a trainer may take, in 2^20 bytes")
        free.append(int(limit) * 2**20)
    return min(free)


def measure(model: PeftModel, summed_loss: SummedLoss, device: str) -> Needs:
    """What training this model takes, before its first step. Runs a short document forwards, twice.

    A model keeps for its backward pass what autograd's hooks are shown: so many bytes a token, whatever the length.
    """
    causal: Any = model.get_base_model()
    kept_whole = _kept_of_a_trial(model, summed_loss)
    try:
        enable_gradient_checkpointing(model, "layers")
        kept_checkpointed = _kept_of_a_trial(model, summed_loss)
    except ValueError:  # this model cannot
        kept_checkpointed = kept_whole
    finally:
        causal.activation_checkpointing_disable()
    text = causal.config.get_text_config()
    trained = [parameter for parameter in model.parameters() if parameter.requires_grad]
    copied = sum(parameter.numel() for parameter in trained if parameter.dtype != torch.float32)
    return Needs(
        fixed=_taken(device) + TRAINED_BYTES * sum(parameter.numel() for parameter in trained) + COPIED_BYTES * copied,
        a_token=kept_whole // TRIAL_TOKENS,
        a_token_checkpointed=kept_checkpointed // TRIAL_TOKENS,
        a_token_in_a_layer=kept_whole // TRIAL_TOKENS // text.num_hidden_layers,
        a_token_in_the_head=LOGIT_BYTES * text.vocab_size,
        head=LOGIT_BYTES * LOGITS_AT_ONCE,
    )


def enable_gradient_checkpointing(model: PeftModel, way: GradientCheckpointing) -> None:
    """Keep each layer's input alone, and compute the layer again in the backward pass (Chen et al. 2016).

    Raises ValueError for a model that cannot.
    """
    causal: Any = model.get_base_model()
    if way != "none":
        causal.activation_checkpointing_enable({"use_reentrant": False}, offload=way == "layers, offloaded")


def kept(model: nn.Module, compute: Callable[[], torch.Tensor]) -> int:
    """What autograd keeps of a computation for its backward pass, beside the model's own values."""
    own = {tensor.untyped_storage().data_ptr() for tensor in (*model.parameters(), *model.buffers())}
    sizes: dict[int, int] = {}

    def note(tensor: torch.Tensor) -> torch.Tensor:
        storage = tensor.untyped_storage()
        if storage.data_ptr() not in own:
            sizes[storage.data_ptr()] = storage.nbytes()
        return tensor

    with torch.autograd.graph.saved_tensors_hooks(note, lambda tensor: tensor):
        loss = compute()
    del loss
    return sum(sizes.values())


def _kept_of_a_trial(model: PeftModel, summed_loss: SummedLoss) -> int:
    # of this model's GPU alone: fork_rng's default is all that there are, with a warning where they are several
    gpus = [model.device.index] if model.device.type == "cuda" else []
    with torch.random.fork_rng(gpus):
        return kept(model, lambda: summed_loss([whole([0] * TRIAL_TOKENS)]))


def _taken(device: str) -> int:
    """What the process has before the first step; the base's mapped weights are resident once they have been used."""
    if device.startswith("cuda"):
        return torch.cuda.memory_allocated()
    if device == "mps":
        return torch.mps.driver_allocated_memory()
    return int(psutil.Process().memory_info().rss) + CACHED_BYTES


def _free(device: str) -> int:
    if device.startswith("cuda"):
        free, _ = torch.cuda.mem_get_info()
        return int((1 - SPARED) * (free + torch.cuda.memory_reserved()))
    if device == "mps":
        return int((1 - SPARED) * torch.mps.recommended_max_memory())
    own = psutil.Process().memory_info()
    mapped = getattr(own, "shared", 0)  # the kernel may drop it, and counts it among what is available
    return int(own.rss - mapped + (1 - SPARED) * machine_memory.free())
