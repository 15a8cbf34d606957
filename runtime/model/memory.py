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
    return min(psutil.virtual_memory().available, left_in_the_control_group())


def left_in_the_control_group(proc: Path = Path("/proc/self/cgroup"), groups: Path = Path("/sys/fs/cgroup")) -> int:
    """What this process's control group, and each that it is in, may still take (Linux, version 2; else: no bound).

    In a container the group's own folder may be the root one; under systemd's MemoryMax it is deeper.
    """
    try:
        own = next(line[3:] for line in proc.read_text().splitlines() if line.startswith("0::"))
    except (OSError, StopIteration):
        return sys.maxsize
    folder = groups / own.strip().lstrip("/")
    return min(_left_in(at) for at in (folder, *folder.parents) if at.is_relative_to(groups))


def _left_in(group: Path) -> int:
    try:
        limit, taken = ((group / name).read_text().strip() for name in ("memory.max", "memory.current"))
    except OSError:
        return sys.maxsize  # the root group has no limit, and one that is not shown in a container none to be known
    return int(limit) - int(taken) if limit.isdecimal() else sys.maxsize
