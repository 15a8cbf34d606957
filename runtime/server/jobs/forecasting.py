"""What a job would take, asked of a process that prepares it as a trainer does, times some of it, and keeps nothing."""

import asyncio
import sys
from asyncio.subprocess import PIPE

import msgspec

from runtime.messages.forecast import Answer, Forecast, Question
from runtime.server.processes import CODE, ProcessDied, explain
from state.errors import ServiceError
from state.jobs import Job
from state.root import DataRoot

_one_at_a_time = asyncio.Lock()  # two would time each other


async def forecast(root: DataRoot, job: Job, train_texts: list[str], eval_texts: list[str]) -> Forecast:
    """Takes as long as a trainer's start and a few steps.

    Raises ServiceError for a job that cannot be trained, ProcessDied when the process dies.
    """
    question = Question(str(root.path), job, train_texts, eval_texts)
    async with _one_at_a_time:
        process = await asyncio.create_subprocess_exec(
            *(sys.executable, "-m", "runtime.trainer.forecast"), cwd=CODE, stdin=PIPE, stdout=PIPE, stderr=PIPE
        )
        try:
            output, log = await process.communicate(msgspec.json.encode(question))
        finally:
            if process.returncode is None:
                process.kill()
    if process.returncode or not output:
        last_lines = "\n".join(log.decode(errors="replace").splitlines()[-5:])
        raise ProcessDied(f"The process that plans died. {explain(process.returncode)}\n\n{last_lines}")
    answer = msgspec.json.decode(output.splitlines()[-1], type=Answer)
    if answer.forecast is None:
        raise ServiceError(answer.error or "")
    return answer.forecast
