"""What a job would take, asked of a process that prepares it as a trainer does, times some of it, and keeps nothing."""

import asyncio

from runtime.messages.forecast import Answer, Forecast, Question
from runtime.server import processes
from state.errors import ServiceError
from state.jobs import Job
from state.root import DataRoot


class Forecaster:
    """Makes one plan at a time: two would time each other."""

    def __init__(self, root: DataRoot) -> None:
        self._root = root
        self._one_at_a_time = asyncio.Lock()

    async def forecast(self, job: Job, train_texts: list[str], eval_texts: list[str]) -> Forecast:
        """Takes as long as a trainer's start and a few steps. Cancelled, it stops computing at once.

        Raises ServiceError for a job that cannot be trained, ProcessDied when the process dies.
        """
        question = Question(str(self._root.path), job, train_texts, eval_texts)
        async with self._one_at_a_time:
            answer = await processes.ask("runtime.trainer.forecast", question, Answer, who="The process that plans")
        if answer.forecast is None:
            raise ServiceError(answer.error or "")
        return answer.forecast
