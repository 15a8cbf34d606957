"""Exports, made by a process that has torch, and that ends when nobody waits for it any more."""

import asyncio
import os
from pathlib import Path

from runtime.messages.export import Format, Order, Outcome
from runtime.process import cpu
from runtime.server import processes
from state import exports, folders, models
from state.adapters import Adapter
from state.errors import ServiceError
from state.root import DataRoot


class Exporter:
    """Makes one export at a time: each may need the disk, and as much memory as the largest tensor a few times."""

    def __init__(self, root: DataRoot) -> None:
        self._root = root
        self._one_at_a_time = asyncio.Lock()

    async def export(self, adapter: Adapter, export_format: Format, output_dir: str | None) -> Path:
        """Have an adapter's export whole in its folder, which is returned. Cancelled, it leaves what was there before.

        Raises ServiceError for what cannot be exported, OSError when the disk refuses, ProcessDied when the process
        dies.
        """
        if adapter.problem is not None:
            raise ServiceError(f"Failed to export adapter {adapter.name}: {adapter.problem}")
        model = models.find(self._root, adapter.model_name)
        async with self._one_at_a_time:
            target = exports.folder_of(self._root, adapter.name, export_format, output_dir)
            target.parent.mkdir(parents=True, exist_ok=True)
            outcome = await _ask(
                Order(str(adapter.path), adapter.model_name, model.load_from, export_format, str(target), adapter.chat)
            )
        if outcome.errno is not None:
            raise OSError(outcome.errno, os.strerror(outcome.errno))
        if outcome.error is not None:
            raise ServiceError(outcome.error)
        return target


async def _ask(order: Order) -> Outcome:
    try:
        return await processes.ask(
            "runtime.export", order, Outcome, who="The process that exports", environment=cpu.environment()
        )
    except BaseException:  # cancelled, or killed by the system: it could not clear anything away itself
        await asyncio.to_thread(folders.abandon, Path(order.target), exports.BY)
        raise
