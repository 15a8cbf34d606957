"""NVIDIA GPUs as their driver's own tool tells of them, without torch."""

import subprocess
from contextlib import suppress

from msgspec import Struct

COMMAND = ["nvidia-smi", "--query-gpu=index,name,memory.total,memory.free", "--format=csv,noheader,nounits"]
TIMEOUT_S = 10.0


class Gpu(Struct, frozen=True):
    """Memory is in 2^20 bytes."""

    index: str
    name: str
    memory_total_mb: int
    memory_free_mb: int


def found() -> list[Gpu]:
    """All of them; none where the tool is not there or says nothing."""
    try:
        done = subprocess.run(COMMAND, capture_output=True, text=True, timeout=TIMEOUT_S, check=False)  # noqa: S603  constant
    except (OSError, subprocess.TimeoutExpired):
        return []
    gpus = []
    for line in done.stdout.splitlines():
        with suppress(ValueError):  # "[N/A]" of a GPU that does not tell
            index, name, total, free = (part.strip() for part in line.split(","))
            gpus.append(Gpu(index, name, int(total), int(free)))
    return gpus
