"""The inference worker as the server sees it: a process that is there when it is needed.

`python -m runtime.inference` holds the model. It is started by the first request and, after a death, by the next one.
"""

import asyncio
import itertools
import logging
import time
from collections.abc import AsyncGenerator, Callable, Sequence
from contextlib import aclosing, nullcontext, suppress
from pathlib import Path
from typing import TypeVar

from msgspec import structs

from runtime.messages.inference import (
    AdapterFiles,
    Detokenized,
    Done,
    Generate,
    Generated,
    Load,
    Message,
    Refused,
    Request,
    SamplingParameters,
    TextDelta,
    Tokenized,
    TokenizerDescription,
    TokenizerQuestion,
    Unload,
)
from runtime.process.logs import REQUEST
from runtime.server.answering.worker_process import Place, WorkerProcess
from runtime.server.meter import Meter
from runtime.server.processes import SHUTTING_DOWN, ProcessDied
from state.adapters import ChatSettings
from state.errors import ServiceError

Prompt = str | list[int | Message]
Event = tuple[int, TextDelta | Generated]
"""Of several prompts that are completed: the number of one, and the next of its text or its whole completion."""

TokenizerAnswered = TypeVar("TokenizerAnswered", Tokenized, Detokenized, TokenizerDescription)

PLAIN = ChatSettings()
log = logging.getLogger(__name__)


class Worker:
    """Loads and asks models in a process of its own. Its methods may be called concurrently."""

    def __init__(  # noqa: PLR0913, PLR0917  what the server decides
        self,
        quantized_bases: Path,
        log: Path | None = None,
        place: Place = lambda: nullcontext({}),
        meter: Meter | None = None,
        llama_server: Path | None = None,
        leave_mb: Callable[[], int] = lambda: 0,
    ) -> None:
        """`quantized_bases` is where the process keeps its copies; a `llama_server` computes in its place.

        `log` takes what it prints; without one that goes to this process's stderr. `place` is entered before each start
        of the process and left when that one has ended; what it raises is raised to who asks. `leave_mb` says what
        memory the process is to leave to others, and is asked with each request.
        """
        self._arguments = [str(quantized_bases), *([] if llama_server is None else [str(llama_server)])]
        self._log = log
        self._place = place
        self._meter = meter or Meter()
        self._leave_mb = leave_mb
        self._ids = itertools.count(1)
        self._life: asyncio.Task[WorkerProcess] | None = None
        self._closed = False
        self._in_flight = 0
        self._last_used_s = time.monotonic()

    @property
    def in_flight(self) -> int:
        """Requests that have not been answered."""
        return self._in_flight

    @property
    def is_running(self) -> bool:
        """Whether there is a process, which holds memory."""
        return self._life is not None and _is_usable(self._life)

    async def load(self, source: str, adapter: AdapterFiles) -> None:
        """Have a base and an adapter ready. Raises ServiceError, and what was loaded before answers on; ProcessDied."""
        await self._ask_one(Load(id=next(self._ids), source=source, adapter=adapter))

    async def unload(self, path: str | None = None) -> None:
        """Let go of all adapters, or of the one in a folder; the base stays in memory. Raises ProcessDied."""
        if self.is_running:
            await self._ask_one(Unload(id=next(self._ids), path=path))

    async def ask_tokenizer(
        self, question: Callable[..., TokenizerQuestion], kind: type[TokenizerAnswered]
    ) -> TokenizerAnswered:
        """`question` lacks its id, and `kind` answers it. Raises ServiceError, ProcessDied."""
        told = (await self._ask_one(question(id=next(self._ids)))).told
        assert isinstance(told, kind)  # noqa: S101
        return told

    async def generate(
        self,
        source: str,
        adapter: AdapterFiles | None,
        prompts: Sequence[tuple[Prompt, SamplingParameters]],
        *,
        stream: bool,
        chat: ChatSettings = PLAIN,
    ) -> AsyncGenerator[Event]:
        """Complete prompts side by side; conversations in the model's own chat template.

        Each one's completion comes when it is whole; where `stream`, its text comes before it in pieces. Loads first
        what is not loaded. Closing the generator gives up what is not whole yet, within a token.

        Raises ServiceError for what cannot be loaded or a prompt that the model cannot take, ProcessDied; then none is
        completed.
        """
        requests = [
            Generate(
                id=next(self._ids),
                source=source,
                adapter=adapter,
                prompt=prompt,
                sampling=sampling,
                chat=chat,
                stream=stream,
            )
            for prompt, sampling in prompts
        ]
        began_s = time.monotonic()
        first_s: dict[int, float] = {}
        async with aclosing(self._ask(requests)) as replies:
            async for number, reply in replies:
                took_s = time.monotonic() - began_s
                if isinstance(reply, TextDelta):
                    first_s.setdefault(number, took_s)
                    yield number, reply
                elif (done := reply.generated) is not None:
                    first = first_s.get(number)
                    self._meter.completed(done.prompt_tokens, done.completion_tokens, first, took_s - (first or 0.0))
                    yield number, done

    async def rest(self, after_s: float) -> None:
        """End the process where nobody has asked it anything for so long; the next request has another."""
        life = self._life
        is_idle = self._in_flight == 0 and time.monotonic() - self._last_used_s >= after_s
        if life is not None and is_idle and _is_usable(life):
            self._life = None
            with suppress(ServiceError):  # one that could not begin holds nothing
                await (await life).end()
            log.info("The inference worker was idle and has given its memory back")

    async def close(self) -> None:
        """End the process, if there is one; calls that wait for it raise ProcessDied, and so do later ones."""
        self._closed = True
        if self._life is not None:
            with suppress(ServiceError):
                await (await self._life).end()

    async def _ask_one(self, request: Request) -> Done:
        """The answer to a request that has no pieces."""
        async with aclosing(self._ask([request])) as replies:
            async for _, reply in replies:
                if isinstance(reply, Done):
                    return reply
        raise AssertionError("a request is answered before its replies end")

    async def _ask(self, requests: Sequence[Request]) -> AsyncGenerator[tuple[int, TextDelta | Done]]:
        """The replies to requests, as they come, until all are answered; each with its request's number."""
        if self._closed:
            raise ProcessDied(SHUTTING_DOWN)
        life = self._life
        if life is None or not _is_usable(life):
            life = self._life = asyncio.create_task(WorkerProcess.begin(self._arguments, self._log, self._place))
        asked_by = REQUEST.get()
        requests = [structs.replace(request, request=asked_by) for request in requests]
        numbers = {request.id: number for number, request in enumerate(requests)}
        self._in_flight += len(requests)
        try:
            process = await asyncio.shield(life)  # others may wait for the same beginning
            leave_mb = self._leave_mb()  # when it is known where the process computes
            async with process.asked([_leaving(request, leave_mb) for request in requests]) as inbox:
                left = len(requests)
                while left:
                    match await inbox.get():
                        case TextDelta() as delta:
                            yield numbers[delta.id], delta
                        case Done() as done:
                            left -= 1
                            yield numbers[done.id], done
                        case Refused(message=message):
                            raise ServiceError(message)
                        case ProcessDied() as death:
                            raise death
        finally:
            self._in_flight -= len(requests)
            self._last_used_s = time.monotonic()


def _leaving(request: Request, leave_mb: int) -> Request:
    return structs.replace(request, leave_mb=leave_mb) if isinstance(request, Load | Generate) else request


def _is_usable(life: asyncio.Task[WorkerProcess]) -> bool:
    """Whether a life has begun, or is about to, and has not ended."""
    if not life.done():
        return True
    return not life.cancelled() and life.exception() is None and life.result().is_alive
