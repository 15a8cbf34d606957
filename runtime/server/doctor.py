"""What this machine and this installation have, and what they lack, with the command that mends it.

It needs no server: the command line asks here, too. No torch is imported.
"""

import os
import platform
import shutil
from importlib import metadata
from typing import Literal

import psutil
from msgspec import Struct

from runtime.process import gpus, machine, memory
from runtime.process.gpus import Gpu
from runtime.process.machine import Machine
from state import models
from state.errors import BrokenFile
from state.root import DataRoot
from state.version import VERSION

Level = Literal["ok", "warn", "missing"]

SETUP = "make setup"
PIP = ".venv/bin/pip install"
DOWNLOAD = ".venv/bin/hf download Qwen/Qwen3-0.6B --local-dir models/Qwen3-0.6B"
PACKAGES = {  # and what does not work without it
    "torch": "training and inference",
    "transformers": "training and inference",
    "peft": "training and inference",
    "bitsandbytes": "training in 4 bits",
    "accelerate": "training and inference",
    "safetensors": "training and inference",
    "tokenizers": "training and inference",
    "huggingface_hub": "base models by their hub id",
    "gguf": "exports to llama.cpp and Ollama",
}
LITTLE_MEMORY_MB = 2_000  # a trainer of tiny-python takes 500
LITTLE_DISK_MB = 5_000  # a 7B model's copy in 4 bits takes 4,000


class Check(Struct, frozen=True):
    """`fix` is the command that mends it, where one does."""

    what: str
    level: Level
    text: str
    fix: str | None = None


class Report(Struct, frozen=True, kw_only=True):
    """`level` is the worst of the checks'. Memory and disk are in 2^20 bytes."""

    level: Level
    version: str
    python: str
    system: str
    device: Literal["cuda", "mps", "cpu"]
    device_name: str
    cores: int
    gpus: list[Gpu]
    memory_total_mb: int
    memory_free_mb: int
    disk_total_mb: int
    disk_free_mb: int
    packages: dict[str, str | None]
    models: list[str]
    """Those whose files are here."""
    checks: list[Check]


def examine(root: DataRoot, found: Machine | None = None) -> Report:
    """Takes some 20 ms, and a second more where there are GPUs."""
    found = found or machine.inspect()
    packages = {name: _version(name) for name in (*PACKAGES, "pyarrow")}
    free_mb = memory.free() // 2**20
    disk = shutil.disk_usage(root.path)
    cards = gpus.found() if found.device == "cuda" else []
    checks = [
        Check("python", "ok", f"Python {platform.python_version()}"),
        *_packages(packages),
        _device(found, packages["torch"]),
        *_compiler(found),
        _memory(free_mb),
        _disk(root, disk.free // 2**20),
        *_models(root),
    ]
    levels = {check.level for check in checks}
    return Report(
        level="missing" if "missing" in levels else "warn" if "warn" in levels else "ok",
        version=VERSION,
        python=platform.python_version(),
        system=f"{platform.system()} {platform.release()} {platform.machine()}",
        device=found.device,
        device_name=found.name,
        cores=os.cpu_count() or 1,
        gpus=cards,
        memory_total_mb=psutil.virtual_memory().total // 2**20,
        memory_free_mb=free_mb,
        disk_total_mb=disk.total // 2**20,
        disk_free_mb=disk.free // 2**20,
        packages=packages,
        models=[model.name for model in models.available(root).models if model.folder is not None],
        checks=checks,
    )


def _version(package: str) -> str | None:
    try:
        return metadata.version(package)
    except metadata.PackageNotFoundError:
        return None


def _packages(packages: dict[str, str | None]) -> list[Check]:
    checks = []
    for name, purpose in PACKAGES.items():
        version = packages[name]
        if version is None:
            checks.append(Check(name, "missing", f"{name} is not installed: {purpose} needs it", SETUP))
        else:
            checks.append(Check(name, "ok", f"{name} {version}"))
    if packages["pyarrow"] is None:
        install = f"{PIP} --constraint constraints.txt pyarrow"
        checks.append(Check("pyarrow", "warn", "pyarrow is not installed: Parquet files cannot be read", install))
    else:
        checks.append(Check("pyarrow", "ok", f"pyarrow {packages['pyarrow']}"))
    return checks


def _device(found: Machine, torch: str | None) -> Check:
    if found.device == "cuda" and torch is not None and torch.endswith("+cpu"):
        install = f"{PIP} --force-reinstall torch=={torch.removesuffix('+cpu')}"
        return Check("device", "warn", f"{found.name} is not used: torch {torch} knows no GPU", install)
    if found.device == "cpu":
        return Check("device", "ok", f"No accelerator was found: everything runs on the CPU ({found.name})")
    return Check("device", "ok", found.name)


def _compiler(found: Machine) -> list[Check]:
    """What a CPU needs for the kernels of runtime/inference/native/."""
    compiler = os.environ.get("CC") or "cc"
    if found.device != "cpu" or shutil.which(compiler.split()[0]):
        return []
    text = f"There is no C compiler ({compiler}): completions take two to six times as long"
    return [Check("compiler", "warn", text, "sudo apt-get install gcc")]


def _memory(free_mb: int) -> Check:
    level: Level = "warn" if free_mb < LITTLE_MEMORY_MB else "ok"
    return Check("memory", level, f"{free_mb:,} MB of memory are free")


def _disk(root: DataRoot, free_mb: int) -> Check:
    if not os.access(root.path, os.W_OK):
        return Check("disk", "missing", "The data root cannot be written to")
    level: Level = "warn" if free_mb < LITTLE_DISK_MB else "ok"
    return Check("disk", level, f"{free_mb:,} MB of the data root's disk are free")


def _models(root: DataRoot) -> list[Check]:
    available = models.available(root)
    checks = [] if available.problem is None else [Check("models", "warn", available.problem)]
    usable = 0
    for model in available.models:
        if model.folder is None:
            continue
        try:
            models.config(model.folder)
            models.size_mb(model.folder)
            usable += 1
        except (BrokenFile, FileNotFoundError) as error:
            checks.append(Check(model.name, "warn", str(error)))
    if usable:
        names = "1 base model is" if usable == 1 else f"{usable} base models are"
        return [*checks, Check("models", "ok", f"{names} here")]
    missing = "No base model is here: one is downloaded when it is first used"
    return [*checks, Check("models", "missing", missing, DOWNLOAD)]
