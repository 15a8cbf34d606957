"""What is loaded: one base model at a time, and the adapters on it."""

import logging
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from runtime.inference import failures
from runtime.inference.adapters import LoadedAdapter
from runtime.inference.base import Base, release_cached, release_memory
from runtime.messages.inference import AdapterFiles
from runtime.model import adapter_files, bases
from runtime.model.device import Setup
from state.errors import LoadFailed, ServiceError

log = logging.getLogger("inference")

FreeMemory = Callable[[str], int]
"""How many bytes a device has left."""


class Loader:
    """Loads bases and adapters when a request needs them. Whatever goes wrong is a LoadFailed."""

    def __init__(self, quantized_bases: Path, setup: Setup, free_memory: FreeMemory) -> None:
        self._quantized_bases = quantized_bases
        self._setup = setup
        self._free_memory = free_memory
        self.base: Base | None = None

    def load_adapter(self, source: str, files: AdapterFiles) -> LoadedAdapter:
        """An adapter on its base. Raises LoadFailed.

        The adapter's files are checked first: a damaged adapter of another base does not cost the base in memory.
        """
        loaded = self.base.adapters.get(files) if self.base and self.base.source == source else None
        if loaded is not None:
            return loaded
        checked = adapter_files.check(Path(files.path), adapter_files.skeleton(source))
        base = self.load_base(source)
        with _load_failures("load the adapter"):
            added = base.adapters.add(files, checked)
        base.prefix_cache.keep_those_of(base.adapters.loaded)
        return added

    def load_base(self, source: str) -> Base:
        """The base in memory if it is this one, else this one in its place. Raises LoadFailed."""
        if self.base is None or self.base.source != source:
            self._drop_base()
            self._check_memory(source)
            began = time.monotonic()
            with _load_failures("load the base model"):
                self.base = Base(source, self._setup, self._quantized_bases)
            log.info("%s loaded on %s in %.1f s", source, self._setup.device, time.monotonic() - began)
        return self.base

    def unload_adapters(self, path: str | None = None) -> None:
        """Give back what all adapters take, or the one of a folder, and what was computed with them."""
        if self.base is not None:
            self.base.adapters.remove(path)
            self.base.prefix_cache.keep_those_of(self.base.adapters.loaded)
            release_cached()

    def _drop_base(self) -> None:
        """Give its memory back: two bases may not fit beside each other, nor beside a trainer."""
        self.base = None
        release_memory()

    def _check_memory(self, source: str) -> None:
        """Raise LoadFailed for a base that an accelerator has no memory for beside what else it does.

        On a CPU the weights are mapped from disk: the system reads them again where it has to drop them.
        """
        if self._setup.device == "cpu":
            return
        needed, free = bases.size(source, self._setup, self._quantized_bases), self._free_memory(self._setup.device)
        if needed is not None and needed > free:
            raise LoadFailed(
                f"There is not enough memory to load {Path(source).name}: it takes about {needed / 1e6:,.0f} MB, "
                f"and {self._setup.device} has {free / 1e6:,.0f} MB free"
            )


@contextmanager
def _load_failures(action: str) -> Iterator[None]:
    """Raise LoadFailed for whatever goes wrong, except for what leaves the device unable to compute."""
    try:
        yield
    except ServiceError as error:
        raise LoadFailed(str(error)) from error
    except Exception as error:
        if failures.is_fatal(error):
            raise
        raise LoadFailed(failures.sentence(error, action)) from error
