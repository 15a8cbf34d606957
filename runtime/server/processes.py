"""The processes that the server starts: how one is started, asked a question and ended, and what its end is called.

Trainers and the inference worker are started and live on their own. A process that is asked answers one question and
lives only as long as somebody waits for it. All of them run this checkout's code with this interpreter, each in a
session of its own, out of reach of the terminal's Ctrl-C.
"""

import asyncio
import os
import subprocess
import sys
from asyncio.subprocess import PIPE
from collections.abc import Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from types import MappingProxyType
from typing import IO, TypedDict

import msgspec
from msgspec import Struct

from runtime.process import cpu
from runtime.process.endings import explain
from runtime.process.question import Answer, Reply
from state.errors import ServiceError

CODE = Path(__file__).resolve().parent.parent.parent
"""The working directory of every process of Lathe's."""

SHUTTING_DOWN = "The server is shutting down"
LAST_LINES = 5  # of what a process said before it died

_NOTHING: Mapping[str, str] = MappingProxyType({})


class ProcessDied(ServiceError):
    """A process ended before it answered."""


class _Surroundings(TypedDict):
    cwd: Path
    env: dict[str, str]
    start_new_session: bool


def start(  # noqa: PLR0913  what differs from process to process
    module: str,
    *arguments: str,
    output: int | IO[bytes],
    errors: int | IO[bytes] = subprocess.STDOUT,
    stdin: int = subprocess.DEVNULL,
    environment: Mapping[str, str] = _NOTHING,
    pass_fds: Sequence[int] = (),
) -> subprocess.Popen[bytes]:
    """Start `python -m <module>`, which computes. `environment` is added to the server's own. Raises OSError."""
    return subprocess.Popen(  # noqa: S603  our own module
        _command(module, *arguments),
        stdin=stdin,
        stdout=output,
        stderr=errors,
        pass_fds=pass_fds,
        **_surroundings({**cpu.environment(), **environment}),
    )


def end(process: subprocess.Popen[bytes], grace_s: float) -> int:
    """Wait `grace_s` for a process that is to end by itself, and kill it if it does not; its exit code.

    Its input is closed first, which is how a process that reads it is told to end.
    """
    if process.stdin is not None:
        with suppress(BrokenPipeError):
            process.stdin.close()
    try:
        return process.wait(grace_s)
    except subprocess.TimeoutExpired:
        process.kill()
        return process.wait()


async def ask(  # noqa: PLR0913  who is asked what, and for how long
    module: str,
    question: Struct,
    answer: type[Answer],
    *,
    who: str,
    ending: asyncio.Event,
    environment: Mapping[str, str] = _NOTHING,
) -> Answer:
    """Have a process of its own answer a question (`runtime/process/question.py`).

    Its input stays open for as long as somebody waits; so it sees the end of a server that was killed. Cancelled, or
    once the server is `ending`, this kills the process, which has no time to clear anything away.
    Raises ServiceError for what the process refuses, OSError when its disk is full, ProcessDied, which calls it `who`.
    """
    if ending.is_set():
        raise ProcessDied(SHUTTING_DOWN)
    process = await asyncio.create_subprocess_exec(
        *_command(module), stdin=PIPE, stdout=PIPE, stderr=PIPE, **_surroundings(environment)
    )
    saying = asyncio.create_task(_say(process, msgspec.json.encode(question) + b"\n"))
    waiting = asyncio.create_task(ending.wait())
    try:
        await asyncio.wait({saying, waiting}, return_when=asyncio.FIRST_COMPLETED)
        if not saying.done():
            raise ProcessDied(SHUTTING_DOWN)
        output, log = saying.result()
        await process.wait()
    finally:
        saying.cancel()
        waiting.cancel()
        if process.returncode is None:
            process.kill()
            await process.wait()
    if process.returncode or not output:
        raise ProcessDied(f"{who} died. {explain(process.returncode)}{_last_lines(log)}")
    return msgspec.json.decode(output.splitlines()[-1], type=Reply).read(answer)


def _command(module: str, *arguments: str) -> list[str]:
    return [sys.executable, "-m", module, *arguments]


def _surroundings(environment: Mapping[str, str]) -> _Surroundings:
    return {"cwd": CODE, "env": os.environ | environment, "start_new_session": True}


async def _say(process: asyncio.subprocess.Process, line: bytes) -> tuple[bytes, bytes]:
    """Write a line, and read all that the process writes until its end: output and log."""
    stdin, stdout, stderr = process.stdin, process.stdout, process.stderr
    if stdin is None or stdout is None or stderr is None:
        raise TypeError("The process was started without its pipes")

    async def write() -> None:
        with suppress(ConnectionError):  # it died before it had read; its end is told below
            stdin.write(line)
            await stdin.drain()

    _, output, log = await asyncio.gather(write(), stdout.read(), stderr.read())
    return output, log


def _last_lines(log: bytes) -> str:
    lines = log.decode(errors="replace").splitlines()[-LAST_LINES:]
    return "\n\n" + "\n".join(lines) if lines else ""
