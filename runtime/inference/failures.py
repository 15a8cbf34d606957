"""What can fail while a sequence is computed: in words, and whether the process can go on."""

import torch

from runtime.model.failures import is_out_of_memory
from state.errors import first_line


def is_fatal(error: BaseException) -> bool:
    """Whether the device can compute nothing more: after an error of a kernel CUDA fails every call until the end."""
    return isinstance(error, torch.AcceleratorError) and not is_out_of_memory(error)


def sentence(error: BaseException, action: str) -> str:
    """`action` is what failed: "generate"."""
    if is_out_of_memory(error):
        return f"There is not enough device memory to {action}; a training job may be using it. {first_line(error)}"
    return f"Failed to {action}: {type(error).__name__}: {first_line(error)}"
