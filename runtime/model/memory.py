"""How much memory a device has left, in bytes."""

import sys
from pathlib import Path

import psutil
import torch


def free(device: str) -> int:
    """What this process may still take of a device's memory; on a CPU, of the machine's or the container's."""
    if device.startswith("cuda"):
        outside, _ = torch.cuda.mem_get_info()
        return outside + torch.cuda.memory_reserved() - torch.cuda.memory_allocated()
    if device == "mps":
        return int(torch.mps.recommended_max_memory()) - int(torch.mps.driver_allocated_memory())
    return min(psutil.virtual_memory().available, left_in_the_container())


def left_in_the_container() -> int:
    """What the control group that this process is in may still take (Linux, version 2; without one: no bound)."""
    folder = Path("/sys/fs/cgroup")
    try:
        limit, taken = ((folder / name).read_text().strip() for name in ("memory.max", "memory.current"))
    except OSError:
        return sys.maxsize
    return int(limit) - int(taken) if limit.isdecimal() else sys.maxsize
