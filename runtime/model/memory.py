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


def leave(device: str, to_others: int) -> None:
    """Have torch take nothing more of a GPU once only so much of it is free: it is out of memory then.

    On a CPU and a Mac torch has no such bound; what is asked of `free` before something is taken has to do there.
    """
    if not device.startswith("cuda"):
        return
    outside, total = torch.cuda.mem_get_info()
    may_take = total if to_others == 0 else torch.cuda.memory_reserved() + max(0, outside - to_others)
    torch.cuda.set_per_process_memory_fraction(min(1.0, may_take / total))
