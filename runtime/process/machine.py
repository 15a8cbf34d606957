"""The machine's accelerators, found without torch."""

import os
import platform
from pathlib import Path
from typing import Literal

from msgspec import Struct


class Machine(Struct, frozen=True):
    """`accelerators` are CUDA device indices as a trainer's CUDA_VISIBLE_DEVICES takes them."""

    device: Literal["cuda", "mps", "cpu"]
    name: str
    accelerators: tuple[str, ...] = ()

    @property
    def slots(self) -> int:
        """Jobs that run side by side: one per accelerator, one on a CPU."""
        return max(1, len(self.accelerators))


def inspect() -> Machine:
    """Look at the machine. The trainer looks again, with torch, before it decides on a device."""
    gpus = _cuda_devices()
    if gpus:
        return Machine("cuda", _cuda_name(), gpus)
    if platform.system() == "Darwin" and platform.machine() == "arm64":
        return Machine("mps", f"Apple silicon ({platform.machine()})")
    return Machine("cpu", f"{platform.processor() or platform.machine()}, {os.cpu_count()} cores")


def _cuda_devices() -> tuple[str, ...]:
    """The GPUs that the NVIDIA driver offers, or those that CUDA_VISIBLE_DEVICES leaves of them."""
    present = tuple(str(index) for index, _ in enumerate(sorted(Path("/dev").glob("nvidia[0-9]*"))))
    chosen = os.environ.get("CUDA_VISIBLE_DEVICES")
    if chosen is None or not present:
        return present
    return tuple(part.strip() for part in chosen.split(",") if part.strip() and part.strip() != "-1")


def _cuda_name() -> str:
    for information in sorted(Path("/proc/driver/nvidia/gpus").glob("*/information")):
        for line in information.read_text().splitlines():
            if line.startswith("Model:"):
                return line.removeprefix("Model:").strip()
    return "NVIDIA GPU"
