"""One inference worker's process, from its beginning to its death.

The server speaks to it over one end of a socket pair, the other end of which only the worker has: nobody else can
connect, and the worker ends by itself when the server's end closes, however the server went.
"""

import asyncio
import socket
import subprocess
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import AbstractContextManager, ExitStack, asynccontextmanager, nullcontext, suppress
from pathlib import Path
from typing import Self

from runtime.messages.inference import Cancel, Done, LastWords, Refused, Request, TextDelta, decode_reply, line
from runtime.process.endings import explain
from runtime.server import processes
from runtime.server.processes import SHUTTING_DOWN, ProcessDied

Place = Callable[[], AbstractContextManager[Mapping[str, str]]]
"""Gives a process a place to compute at for its life: what it is to have in its environment beside the server's own."""

LONGEST_REPLY = 1 << 28  # bytes; a completion is far shorter
STDERR = 2
END_TIMEOUT_S = 5.0  # a worker whose socket has closed is gone within milliseconds

Inbox = asyncio.Queue[TextDelta | Done | Refused | ProcessDied]


class WorkerProcess:
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
