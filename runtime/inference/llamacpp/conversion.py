"""Bases and adapters as llama.cpp's files, each made once and kept beside the quantized bases.

`<bases>/<model>-llama.cpp-<source>/base-<key>/` and `…/adapter-<key>/`. A base's key is of its files' names, sizes and
times, an adapter's of its files' bytes: what has changed is made anew, and what was is cleared away. A folder is
complete or absent, and may be removed at any time.

An export's process makes them (`python -m runtime.export`); it ends when this one does.
"""

import hashlib
import os
import subprocess
import sys
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path

import gguf
import msgspec

from runtime.messages.export import Made, Order
from runtime.messages.inference import AdapterFiles
from runtime.model import source_files
from runtime.process.endings import explain
from runtime.process.question import Reply
from state import folders
from state.adapters import CONFIG, WEIGHTS
from state.errors import ServiceError

KEPT_ADAPTERS = 32  # those that were used last; each has a few bytes for each of its parameters
BASE_FILE, ADAPTER_FILE = "model.gguf", "adapter.gguf"
MADE_BY = [gguf.GGML_QUANT_VERSION, "Q4_0"]
"""What else the files depend on: another value here, and all are made anew."""


class Conversions:
    """What has been converted, and what is under way: one at a time."""

    def __init__(self, bases: Path) -> None:
        self._bases = bases
        self._pool = ThreadPoolExecutor(1, "conversion")
        self._under_way: dict[Path, Future[None]] = {}
        self._digests: dict[AdapterFiles, str] = {}
        for kept in bases.glob("*-llama.cpp-*"):
            folders.sweep(kept)

    def base(self, source: str) -> Path | None:
        """The GGUF file of a base; None while it is being made. Raises ServiceError for one that cannot be made."""
        target = self._kept(source) / f"base-{self._base_key(source)}"
        order = Order(None, Path(source).name, source, "gguf-base", str(target))
        return self._made(target, BASE_FILE, order)

    def adapter(self, source: str, files: AdapterFiles) -> Path | None:
        """The same of an adapter on its base."""
        key = _digest([self._content(files), self._base_key(source)])
        target = self._kept(source) / f"adapter-{key}"
        order = Order(files.path, Path(source).name, source, "gguf-lora", str(target))
        return self._made(target, ADAPTER_FILE, order)

    def _made(self, target: Path, file: str, order: Order) -> Path | None:
        try:
            if target in self._under_way:
                if not self._under_way[target].done():  # it is there some moments before what it replaces is gone
                    return None
                self._under_way.pop(target).result()
            if (target / file).exists():
                os.utime(target)
                return target / file
            self._under_way[target] = self._pool.submit(_make, target, order)
        except OSError as error:
            raise ServiceError(f"{target.parent} cannot be written to: {error}") from error
        return None

    def _kept(self, source: str) -> Path:
        return self._bases / f"{Path(source).name}-llama.cpp-{_digest(source)}"

    def _base_key(self, source: str) -> str:
        try:
            files = source_files.state_of(source, "*.safetensors*", "*.json", "*.model", is_here=True)
            return _digest([files, MADE_BY])
        except OSError as error:
            raise ServiceError(f"Model {Path(source).name} cannot be read: {error}") from error

    def _content(self, files: AdapterFiles) -> str:
        if files not in self._digests:
            try:
                self._digests[files] = _digest([_digest_of(Path(files.path) / name) for name in (CONFIG, WEIGHTS)])
            except OSError as error:
                raise ServiceError(f"Adapter {Path(files.path).name} cannot be read: {error}") from error
        return self._digests[files]


def _make(target: Path, order: Order) -> None:
    """Have the folder that is ordered. Raises ServiceError, OSError."""
    target.parent.mkdir(parents=True, exist_ok=True)
    _ask(order)
    _clear_away(target)


def _ask(order: Order) -> None:
    """Raises ServiceError, OSError."""
    command = [sys.executable, "-m", "runtime.export"]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as process:  # noqa: S603  ours
        assert process.stdin is not None  # noqa: S101
        assert process.stdout is not None  # noqa: S101
        process.stdin.write(msgspec.json.encode(order) + b"\n")
        process.stdin.flush()
        said = process.stdout.readline()
        exit_code = process.wait()  # before its input is closed, which would tell it that nobody waits
    if not said:
        raise ServiceError(f"The process that converts for llama.cpp died. {explain(exit_code)}")
    msgspec.json.decode(said, type=Reply).read(Made)


def _clear_away(made: Path) -> None:
    """What the base was before; adapters that have not been used for longest."""
    kind, _, _ = made.name.partition("-")
    others = [folder for folder in made.parent.glob(f"{kind}-*") if folder != made]
    others.sort(key=lambda folder: folder.stat().st_mtime)
    for folder in others if kind == "base" else others[: 1 - KEPT_ADAPTERS]:
        folders.vanish(folder)


def _digest_of(file: Path) -> str:
    with file.open("rb") as opened:
        return hashlib.file_digest(opened, "sha256").hexdigest()


def _digest(facts: object) -> str:
    return hashlib.sha256(msgspec.json.encode(facts)).hexdigest()[:16]
