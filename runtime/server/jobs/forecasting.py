"""What a job would take, asked of a process that prepares it as a trainer does, times some of it, and keeps nothing."""

import asyncio
from collections.abc import Mapping
from tempfile import TemporaryDirectory

from runtime.messages.forecast import Forecast, Question
from runtime.process import cpu
from runtime.server import processes
from runtime.server.jobs.accelerators import Accelerators
from runtime.server.jobs.room import Room
from state.jobs import Job
from state.root import DataRoot
from state.row_source import RowSource


class Forecaster:
    """Makes one plan at a time: two would time each other."""

    def __init__(
        self,
        root: DataRoot,
        accelerators: Accelerators,
        limits: Mapping[str, str],
        room: Room,
        ending: asyncio.Event,
    ) -> None:
        """`limits` go into the environment of the process that plans, as into a trainer's. Who waits for a plan while
        the server is `ending` waits no longer.
        """
        self._root = root
        self._limits = limits
        self._accelerators = accelerators
        self._room = room
        self._ending = ending
        self._one_at_a_time = asyncio.Lock()

    async def forecast(self, job: Job, train: RowSource, held_out: RowSource | None) -> Forecast:
        """Takes as long as a trainer's start and a few steps. Cancelled, it stops computing at once.

        It has the memory that the training would have, idle inference's included. Raises ServiceError for a job that
        cannot be trained, Busy when all accelerators train, ProcessDied when the process dies.
        """
        async with self._one_at_a_time:
            with self._accelerators.planning() as accelerator, TemporaryDirectory(prefix="lathe-plan-") as scratch:
                question = Question(str(self._root.path), job, train, held_out, scratch)
                await self._room.make(job.model_name, accelerator)
                return await processes.ask(
                    "runtime.trainer.forecast",
                    question,
                    Forecast,
                    who="The process that plans",
                    ending=self._ending,
                    environment={**cpu.environment(), **self._limits, **self._accelerators.environment(accelerator)},
                )
