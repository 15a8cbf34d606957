"""What can fail while a sequence is computed: in words, and whether the process can go on."""

import torch

from runtime.model.failures import is_out_of_memory

__all__ = ["is_fatal", "is_out_of_memory", "sentence"]


def is_fatal(error: BaseException) -> bool:
    """Whether the device can compute nothing more: after an error of a kernel CUDA fails every call until the end."""
    return isinstance(error, torch.AcceleratorError) and not is_out_of_memory(error)


def sentence(error: BaseException, action: str) -> str:
    """`action` is what failed: "generate"."""
    first_line = next((text for text in str(error).splitlines() if text.strip()), "")
    if is_out_of_memory(error):
        return f"There is not enough device memory to {action}; a training job may be using it. {first_line}"
    return f"Failed to {action}: {type(error).__name__}: {first_line}"
