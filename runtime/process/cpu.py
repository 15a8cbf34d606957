"""How a process that computes on a CPU uses cores and memory. All of it is settled before torch is imported."""

import os
import platform
import sys
from functools import cache
from importlib import metadata
from pathlib import Path

from runtime.process import machine

SETTINGS = {
    # A trainer, the inference worker and the user's own programs share the cores. Threads that spin for a partner which
    # has no core hold the core that it needs: beside another two-thread torch process on 2 cores, a training of 20
    # steps took 134 s spinning and 5 s sleeping (GNU OpenMP, torch 2.13).
    "OMP_WAIT_POLICY": "PASSIVE",
    # But a thread that sleeps at once takes longer to wake than a small matrix product takes: with a spin of some
    # microseconds first, 20 steps took 4.6 s instead of 5.8 alone, and 9.2 instead of 7.7 beside another such process.
    "GOMP_SPINCOUNT": "2000",
    # torch and oneDNN keep what they compiled for each shape of a matrix product, 1,024 of them, and packed steps
    # hardly ever have one shape twice: 60 steps of tiny-python grew to 2168 MB so, with these to 549, at equal speed
    # (6.3 and 6.7 thousand tokens/s; either alone: 1190 and 1773 MB).
    "LRU_CACHE_CAPACITY": "8",
    "ONEDNN_PRIMITIVE_CACHE_CAPACITY": "64",
    # On a GPU, what repeatable training needs (runtime/trainer/repeatable.py): cuBLAS looks once, at its first product.
    "CUBLAS_WORKSPACE_CONFIG": ":4096:8",
}
ALLOCATOR = ("libtbbmalloc.so.2", "libtbbmalloc_proxy.so.2")


def environment() -> dict[str, str]:
    """What this process's environment lacks for one that will import torch. What the user has set stays.

    A process that is started with it need not start itself anew, which takes 0.2 s of CPU time.
    """
    lacking = {name: value for name, value in SETTINGS.items() if name not in os.environ}
    allocator = _allocator()
    if allocator and not os.environ.get("LD_PRELOAD"):
        lacking["LD_PRELOAD"] = ":".join(allocator)
    return lacking


def prepare() -> None:
    """To be called first in a process that will import torch.

    May start the process's program anew, under the same pid: an allocator can only be chosen as a program starts.
    """
    lacking = environment()
    os.environ.update(lacking)
    if "LD_PRELOAD" in lacking:
        os.execv(sys.executable, [sys.executable, *sys.orig_argv[1:]])  # noqa: S606  this very program


@cache
def _allocator() -> list[str]:
    """OneTBB's malloc, where it is installed and torch's tensors lie in the machine's memory.

    A row of 2,048 tokens of a 370M model keeps 2.1 GB for its backward pass. With glibc 2.36's own malloc, which
    seldom finds a use for the gaps between aligned blocks, the process grew by 3.4 GB, with this one by 2.5, and the
    row took a fifth less time.
    """
    if sys.platform != "linux" or platform.libc_ver()[0] != "glibc" or machine.inspect().device != "cpu":
        return []
    try:
        installed = metadata.files("tbb") or []
    except metadata.PackageNotFoundError:
        return []
    paths = [str(Path(file.locate()).resolve()) for name in ALLOCATOR for file in installed if file.name == name]
    is_whole = len(paths) == len(ALLOCATOR) and not any(mark in path for path in paths for mark in " :")
    return paths if is_whole else []
