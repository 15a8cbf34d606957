"""Quantized bases on disk: a base model is quantized once, and all that load it later map the result into memory.

`<root>/.cache/bases/<model, device, precision>/<key>/` is a model folder as transformers saves it, bitsandbytes' 4-bit
tensors in safetensors. The key is of everything that the result depends on, so a changed model gets a new copy, and the
old one goes. The folder may be removed at any time.

Mapped weights are the kernel's to share and to drop: the trainer and the inference worker hold one copy between them.
"""

import ctypes
import hashlib
import logging
import platform
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from importlib.metadata import version
from pathlib import Path

import msgspec
from safetensors import SafetensorError
from transformers import PreTrainedModel

from runtime.model import private, source_files
from runtime.model.device import Setup
from state import folders

MADE_BY = ("bitsandbytes", "torch", "transformers")
M_MMAP_THRESHOLD = -3  # mallopt's number for it, in glibc's malloc.h
SMALL_BLOCK, LARGE_BLOCK = 1 << 16, 1 << 25  # bytes; the larger is the most that glibc sets by itself

log = logging.getLogger(__name__)


def folder_of(cache: Path, source: str, setup: Setup) -> Path:
    """The folder of a source's quantized copy, made or not. Raises OSError for a source without a config.json."""
    content = source_files.state_of(source, "*.safetensors*")
    facts = [content, setup.device, setup.dtype, [version(package) for package in MADE_BY]]
    return cache / f"{Path(source).name}-{_digest([source, setup.device, setup.dtype])}" / _digest(facts)


def keep(base: PreTrainedModel, target: Path) -> bool:
    """Write a quantized base to its place, complete or not at all; copies of what its source was before go.

    The caller holds the place's lock. False when it cannot be written, a full disk for one: the log says why.
    """
    try:
        if target.exists():
            folders.vanish(target)
        with folders.appearing(target) as hidden:
            base.save_pretrained(hidden, max_shard_size="4GB")
        for other in target.parent.iterdir():
            if other.is_dir() and other != target:
                folders.vanish(other)
    except (OSError, ValueError, RuntimeError, SafetensorError) as error:
        log.warning("The quantized base is not kept on disk: %s", error)
        return False
    return True


@contextmanager
def read_sparingly() -> Iterator[None]:
    """Load weights holding one full-precision tensor at a time, rather than the mapped pages of all files.

    transformers reads so on MPS and Windows; elsewhere it maps the files, and quantizing a 7B model shows 13 GB
    resident. glibc keeps what large tensors leave behind for a later use, which for a while has to stop.
    """
    with private.weights_read_by_pread(), _freed_at_once():
        yield


@contextmanager
def _freed_at_once() -> Iterator[None]:
    if sys.platform != "linux" or platform.libc_ver()[0] != "glibc":
        yield
        return
    libc = ctypes.CDLL(None)
    libc.mallopt(M_MMAP_THRESHOLD, SMALL_BLOCK)
    try:
        yield
    finally:
        libc.mallopt(M_MMAP_THRESHOLD, LARGE_BLOCK)


def _digest(facts: object) -> str:
    return hashlib.sha256(msgspec.json.encode(facts)).hexdigest()[:16]
