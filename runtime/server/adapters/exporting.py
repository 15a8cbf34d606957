"""Exports, made by a process that has torch, and that ends when nobody waits for it any more."""

import asyncio
from pathlib import Path

from runtime.messages.export import Format, Made, Order
from runtime.process import cpu
from runtime.server import processes
from state import exports, folders, models
from state.adapters import Adapter
from state.errors import ServiceError
from state.root import DataRoot


class Exporter:
    """Makes one export at a time: each may need the disk, and as much memory as the largest tensor a few times."""

    def __init__(self, root: DataRoot, ending: asyncio.Event) -> None:
        """`ending` is the server's: what is being exported then ends with it."""
        self._root = root
        self._ending = ending
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
            await self._ask(
                Order(str(adapter.path), adapter.model_name, model.load_from, export_format, str(target), adapter.chat)
            )
        return target

    async def _ask(self, order: Order) -> None:
        try:
            await processes.ask(
                "runtime.export",
                order,
                Made,
                who="The process that exports",
                ending=self._ending,
                environment=cpu.environment(),
            )
        except BaseException:  # where it was cancelled or killed, it could not clear anything away itself
            await asyncio.to_thread(folders.abandon, Path(order.target), exports.BY)
            raise
