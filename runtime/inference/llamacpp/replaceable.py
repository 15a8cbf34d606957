"""The llama-server that runs, and what the next one is started with: a running one takes no other base or adapter."""

import logging
import time
from pathlib import Path

from runtime.inference.llamacpp.described import Described, describe
from runtime.inference.llamacpp.server import LlamaServer, Plan
from runtime.messages.inference import AdapterFiles
from runtime.process import memory

log = logging.getLogger("inference")

MAX_ADAPTERS = 16  # that a llama-server is started with: those that were asked for last
KV_SHARE, PREFIX_SHARE = 1 / 4, 1 / 16  # of the free memory, for llama-server's cache, which it fills at its start
MIN_SLOTS, MAX_SLOTS = 4, 16
SHORTEST_CONTEXT = 512


class ReplaceableServer:
    """One llama-server after another."""

    def __init__(self, program: Path) -> None:
        """`program` is a llama-server."""
        self._program = program
        self.server: LlamaServer | None = None
        """None until the first `replace`, and after one that failed."""
        self.base: Described | None = None
        self._adapters: dict[AdapterFiles, Path] = {}
        """Those that the next llama-server is started with; the most recently used one is the last."""

    def serves(self, base: Path, adapter: Path | None) -> bool:
        server = self.server
        if server is None or not server.is_alive or server.plan.base != base:
            return False
        return adapter is None or adapter in server.plan.adapters

    def replace(self, source: str, base: Path, adapter: Path | None) -> None:
        """Another llama-server in the place of the one before, which nobody asks anything. Raises ServiceError."""
        began_s = time.monotonic()
        before, self.server = self.server, None
        if before is not None:
            before.end()
        if before is None or before.plan.base != base:  # what was converted for another base does not fit this one
            self._adapters.clear()
        self.base = describe(source)
        kept = [path for path in self._adapters.values() if path != adapter and path.exists()]
        adapters = (*kept[1 - MAX_ADAPTERS :], *([adapter] if adapter else []))
        plan = Plan(base, adapters, *_sizes(self.base, memory.free()))
        self.server = LlamaServer(self._program, plan, int(PREFIX_SHARE * memory.free() / 2**20))
        log.info("llama-server has %s and %d adapters after %.1f s", source, len(adapters), time.monotonic() - began_s)

    def note_use(self, files: AdapterFiles, converted: Path) -> None:
        """Start the next llama-server with an adapter, too."""
        self._adapters.pop(files, None)
        self._adapters[files] = converted

    def forget(self, path: str | None) -> None:
        """Start the next llama-server without an adapter, or any. The one that runs keeps its few megabytes."""
        self._adapters = {files: kept for files, kept in self._adapters.items() if path not in {None, files.path}}


def _sizes(base: Described, free_bytes: int) -> tuple[int, int]:
    """How many slots, and of how many tokens, a part of the free memory has room for.

    As many as hold whole contexts, within bounds; where memory is short, each is shorter.
    """
    tokens = int(KV_SHARE * free_bytes / max(1, base.kv_bytes))
    whole = base.context_length or tokens // MIN_SLOTS
    slots = min(MAX_SLOTS, max(MIN_SLOTS, tokens // max(1, whole)))
    return slots, max(SHORTEST_CONTEXT, min(whole, tokens // slots))
