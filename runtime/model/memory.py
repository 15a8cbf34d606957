"""How much memory a device has left, in bytes."""

import torch

from runtime.process import memory


def free(device: str) -> int:
    """What this process may still take of a device's memory; on a CPU, of the machine's or the container's."""
    if device.startswith("cuda"):
        outside, _ = torch.cuda.mem_get_info()
        return outside + torch.cuda.memory_reserved() - torch.cuda.memory_allocated()
    if device == "mps":
        return int(torch.mps.recommended_max_memory()) - int(torch.mps.driver_allocated_memory())
    return memory.free()
