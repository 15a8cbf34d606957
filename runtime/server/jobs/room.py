"""Idle inference gives way to a training that needs its memory."""

import asyncio
from collections.abc import Awaitable, Callable

import psutil

from runtime.process.machine import Machine
from runtime.server.jobs.accelerators import Accelerators
from state import models
from state.errors import ServiceError
from state.root import DataRoot


class Room:
    """The memory that an idle inference worker holds, for who is about to prepare a training."""

    def __init__(
        self, root: DataRoot, machine: Machine, accelerators: Accelerators, rest: Callable[[], Awaitable[None]]
    ) -> None:
        """`rest` has inference give its memory back where nobody asks it anything."""
        self._root = root
        self._machine = machine
        self._accelerators = accelerators
        self._rest = rest

    async def make(self, model_name: str, accelerator: str | None) -> None:
        """Have the room that a training on this base needs there, as far as inference can give it."""
        if self._accelerators.has_inference(accelerator) and await asyncio.to_thread(self._is_needed, model_name):
            await self._rest()

    def _is_needed(self, model_name: str) -> bool:
        try:
            model = models.find(self._root, model_name)
            weights_mb = models.size_mb(model.folder) if model.folder else 0.0
        except ServiceError:
            return False  # its trainer will say so
        return is_short(self._machine, free_mb(), weights_mb)


def free_mb() -> float:
    return psutil.virtual_memory().available / 1e6


def is_short(machine: Machine, free_mb: float, weights_mb: float) -> bool:
    """Given the machine's free memory and the size of the base's weights on disk, both in 10^6 bytes.

    A trainer on an accelerator measures what is free there and plans with it, so there it gets all. On a CPU, training
    a base in 4 bits seldom takes more than the base's weights do in 16.
    """
    return machine.device != "cpu" or free_mb < weights_mb
