"""The inference worker as the server sees it: a process that is there when it is needed.

`python -m runtime.inference` holds the model. It is started by the first request and, after a death, by the next one.
The server speaks to it over one end of a socket pair, the other end of which only the worker has: nobody else can
connect, and the worker ends by itself when the server's end closes, however the server went.
"""

import asyncio
import itertools
import logging
import socket
import subprocess
import time
from collections.abc import AsyncGenerator, AsyncIterator, Callable, Mapping, Sequence
from contextlib import AbstractContextManager, ExitStack, aclosing, asynccontextmanager, nullcontext, suppress
from pathlib import Path
from typing import Self, TypeVar

from msgspec import structs

from runtime.messages.inference import (
    AdapterFiles,
    Cancel,
    Detokenized,
    Done,
    Generate,
    Generated,
    LastWords,
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
    decode_reply,
    line,
)
from runtime.process.endings import explain
from runtime.process.logs import REQUEST
from runtime.server import processes
from runtime.server.meter import Meter
from runtime.server.processes import SHUTTING_DOWN, ProcessDied
from state.adapters import ChatSettings
from state.errors import ServiceError

Prompt = str | list[int | Message]
Event = tuple[int, TextDelta | Generated]
"""Of several prompts that are completed: the number of one, and the next of its text or its whole completion."""

TokenizerAnswered = TypeVar("TokenizerAnswered", Tokenized, Detokenized, TokenizerDescription)

Place = Callable[[], AbstractContextManager[Mapping[str, str]]]
"""Gives a process a place to compute at for its life: what it is to have in its environment beside the server's own."""

PLAIN = ChatSettings()
LONGEST_REPLY = 1 << 28  # bytes; a completion is far shorter
STDERR = 2
log = logging.getLogger(__name__)

END_TIMEOUT_S = 5.0  # a worker whose socket has closed is gone within milliseconds


class Worker:
    """Loads and asks models in a process of its own. Its methods may be called concurrently."""

    def __init__(
        self,
        quantized_bases: Path,
        log: Path | None = None,
        place: Place = lambda: nullcontext({}),
        meter: Meter | None = None,
        llama_server: Path | None = None,
    ) -> None:
        """`quantized_bases` is where the process keeps its copies; a `llama_server` computes in its place.

        `log` takes what it prints; without one that goes to this process's stderr. `place` is entered before each start
        of the process and left when that one has ended; what it raises is raised to who asks.
        """
        self._arguments = [str(quantized_bases), *([] if llama_server is None else [str(llama_server)])]
        self._log = log
        self._place = place
        self._meter = meter or Meter()
        self._ids = itertools.count(1)
        self._life: asyncio.Task[_Life] | None = None
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
            life = self._life = asyncio.create_task(_Life.begin(self._arguments, self._log, self._place))
        asked_by = REQUEST.get()
        requests = [structs.replace(request, request=asked_by) for request in requests]
        numbers = {request.id: number for number, request in enumerate(requests)}
        self._in_flight += len(requests)
        try:
            process = await asyncio.shield(life)  # others may wait for the same beginning
            async with process.asked(requests) as inbox:
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


Inbox = asyncio.Queue[TextDelta | Done | Refused | ProcessDied]


class _Life:
    """One process from its beginning to its death, and everyone who waits for an answer of it."""

    def __init__(
        self,
        process: subprocess.Popen[bytes],
        reader: asyncio.StreamReader,
        writer: asyncio.StreamWriter,
        taken: ExitStack,
    ) -> None:
        """`taken` is given back when the process has ended."""
        self._process = process
        self._taken = taken
        self._reader = reader
        self._writer = writer
        self._unanswered: dict[int, Inbox] = {}
        self._is_wanted = True
        self._obituary: str | None = None
        self.is_alive = True
        self._listening = asyncio.create_task(self._listen())

    @classmethod
    async def begin(cls, arguments: Sequence[str], log: Path | None, place: Place) -> Self:
        with ExitStack() as taken:
            environment = taken.enter_context(place())
            ours, theirs = socket.socketpair()
            with theirs:
                try:
                    process = await asyncio.to_thread(_start, theirs.fileno(), arguments, log, environment)
                except OSError as error:
                    ours.close()
                    raise ProcessDied(f"The inference worker cannot be started: {error}") from error
            reader, writer = await asyncio.open_unix_connection(sock=ours, limit=LONGEST_REPLY)
            return cls(process, reader, writer, taken.pop_all())

    @asynccontextmanager
    async def asked(self, requests: Sequence[Request]) -> AsyncIterator[Inbox]:
        """Where the replies to these requests arrive; the last thing there may be how the process died.

        What has not been answered on leaving is given up.
        """
        if self._obituary is not None:
            raise ProcessDied(self._obituary)
        inbox = Inbox()
        self._unanswered |= {request.id: inbox for request in requests}
        try:
            await self._send(requests)
            yield inbox
        finally:
            given_up = [request.id for request in requests if self._unanswered.pop(request.id, None) is not None]
            if self.is_alive:
                self._writer.writelines(line(Cancel(request_id)) for request_id in given_up)

    async def _send(self, requests: Sequence[Request]) -> None:
        with suppress(ConnectionError):  # the process has died: that is told when it is known how
            self._writer.writelines(map(line, requests))
            await self._writer.drain()

    async def end(self) -> None:
        self._is_wanted = False
        self._writer.close()
        await self._listening

    async def _listen(self) -> None:
        last_words = None
        try:
            last_words = await self._hear_replies()
        finally:
            self.is_alive = False
            self._writer.close()
            with self._taken:
                exit_code = await asyncio.to_thread(processes.end, self._process, END_TIMEOUT_S)
            self._obituary = self._explain(last_words, exit_code)
            for inbox in set(self._unanswered.values()):
                inbox.put_nowait(ProcessDied(self._obituary))

    async def _hear_replies(self) -> LastWords | None:
        """Hand every reply to who waits for it, until the process ends."""
        with suppress(ConnectionError):  # a socket that broke says no more than one that closed
            while (text := await self._reader.readline()).endswith(b"\n"):
                reply = decode_reply(text)
                if isinstance(reply, LastWords):
                    return reply
                inbox = self._unanswered.get(reply.id)
                if inbox is not None:  # else it has been given up
                    inbox.put_nowait(reply)
                if not isinstance(reply, TextDelta):
                    self._unanswered.pop(reply.id, None)
        return None

    def _explain(self, last_words: LastWords | None, exit_code: int) -> str:
        if not self._is_wanted:
            return SHUTTING_DOWN
        if last_words is not None:
            return f"The inference worker ended; the server's log has the details. {last_words.message}"
        return f"The inference worker died; the next request starts another. {explain(exit_code)}"


def _is_usable(life: asyncio.Task[_Life]) -> bool:
    """Whether a life has begun, or is about to, and has not ended."""
    if not life.done():
        return True
    return not life.cancelled() and life.exception() is None and life.result().is_alive


def _start(
    descriptor: int, arguments: Sequence[str], log: Path | None, environment: Mapping[str, str]
) -> subprocess.Popen[bytes]:
    """Start the process with its end of the socket pair, away from the terminal's Ctrl-C. Raises OSError."""
    with log.open("ab") if log else nullcontext(STDERR) as output:
        return processes.start(
            "runtime.inference",
            str(descriptor),
            *arguments,
            output=output,
            environment=environment,
            pass_fds=[descriptor],
        )
