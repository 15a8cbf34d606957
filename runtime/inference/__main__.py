"""`python -m runtime.inference <descriptor> <folder> [<llama-server>]`: completes prompts for the server.

Started by runtime/server/answering/worker.py with its end of a socket pair, the descriptor. The folder is where
quantized bases are kept. Where a llama-server is named, that computes in place of this process.

Requests are worked side by side, in the main thread. A second thread listens all the while: for cancellations, and for
the end of the server, with which the process ends at once, in the middle of whatever it does.
"""

import logging
import os
import socket
import sys
import threading
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from queue import SimpleQueue
from typing import NamedTuple, Protocol

from runtime.inference import watchdog
from runtime.messages.inference import Cancel, Done, LastWords, Refused, Reply, Request, decode_request, line
from runtime.model import libraries
from runtime.process import cpu
from runtime.process.noise import hush_libraries

log = logging.getLogger("inference")


class AnyEngine(Protocol):
    """What computes: runtime/inference/engine.py, or llamacpp/engine.py."""

    @property
    def is_idle(self) -> bool: ...

    @property
    def pass_began_s(self) -> float | None: ...

    def add(self, request: Request, is_cancelled: Callable[[], bool]) -> None: ...

    def step(self) -> None: ...

    def take_replies(self) -> list[Reply]: ...


class _Open(NamedTuple):
    """A request that has not been answered yet."""

    request: Request
    cancelled: threading.Event


class Inbox:
    """The server's requests in their order, and which of them nobody waits for any more."""

    def __init__(self, server: socket.socket) -> None:
        self._lines = server.makefile("rb")
        self._requests: SimpleQueue[Request] = SimpleQueue()
        self._open: dict[int, _Open] = {}
        threading.Thread(target=self._listen, name="inbox", daemon=True).start()

    def take(self, *, wait: bool) -> Iterator[tuple[Request, threading.Event]]:
        """What has come; where `wait`, at least one request."""
        while wait or not self._requests.empty():
            request = self._requests.get()
            yield request, self._open[request.id].cancelled
            wait = False

    def close(self, request_id: int) -> Request:
        """To be called with the answer; the request that it answers."""
        return self._open.pop(request_id).request

    def unanswered(self) -> list[Request]:
        return [each.request for each in self._open.copy().values()]

    def _listen(self) -> None:
        try:
            for text in self._lines:
                message = decode_request(text)
                if isinstance(message, Cancel):
                    self._cancel(message.id)
                else:
                    self._open[message.id] = _Open(message, threading.Event())
                    self._requests.put(message)
        except ConnectionError:
            pass  # as good as the end of the file
        except Exception:  # whatever it was: a worker that no longer listens must not stay
            log.exception("The server said what this worker does not understand")
            os._exit(1)
        os._exit(0)

    def _cancel(self, request_id: int) -> None:
        unanswered = self._open.get(request_id)
        if unanswered is not None:
            unanswered.cancelled.set()


def main() -> None:
    cpu.prepare()
    if len(sys.argv) not in {3, 4}:
        sys.exit("The server starts this process when it needs it; it is of no use by hand.")
    logging.basicConfig(level=logging.INFO, format="%(asctime)s inference worker: %(message)s")
    hush_libraries()
    server = socket.socket(fileno=int(sys.argv[1]))
    inbox = Inbox(server)
    try:
        work(inbox, server, engine(*map(Path, sys.argv[2:])))
    except BrokenPipeError:
        os._exit(0)  # the server is gone
    except Exception as error:  # what nobody foresaw may have left anything behind: the next process starts clean
        names = ", ".join(request.named for request in inbox.unanswered())
        log.exception("The inference worker ends by an error, at: %s", names or "nothing")
        end(server, f"{type(error).__name__}: {error}")


def end(server: socket.socket, reason: str) -> None:
    """Tell the server why, and end at once."""
    server.sendall(line(LastWords(reason)))
    os._exit(1)


def engine(quantized_bases: Path, llama_server: Path | None = None) -> AnyEngine:
    """Seconds of imports, during which the inbox listens."""
    if llama_server is not None:
        libraries.load_without_torch()
        from runtime.inference.llamacpp.engine import LlamaCppEngine  # noqa: PLC0415

        return LlamaCppEngine(quantized_bases, llama_server)
    libraries.load()
    from runtime.inference.engine import Engine  # noqa: PLC0415

    return Engine(quantized_bases)


def work(inbox: Inbox, server: socket.socket, engine: AnyEngine) -> None:
    watching = (lambda: engine.pass_began_s, partial(end, server))
    threading.Thread(target=watchdog.watch, args=watching, name="watchdog", daemon=True).start()
    while True:
        for request, cancelled in inbox.take(wait=engine.is_idle):
            engine.add(request, cancelled.is_set)
        try:
            engine.step()
        finally:  # also what was answered before an error that ends the process
            answer(inbox, server, engine.take_replies())


def answer(inbox: Inbox, server: socket.socket, replies: list[Reply]) -> None:
    for reply in replies:
        if isinstance(reply, Done | Refused):
            request = inbox.close(reply.id)
            if isinstance(reply, Refused):  # the reason may quote what was asked, which is for no log
                log.info("%s is refused", request.named)
    if replies:
        server.sendall(b"".join(map(line, replies)))


if __name__ == "__main__":
    main()
