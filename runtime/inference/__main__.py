"""`python -m runtime.inference <descriptor> <folder>`: started by runtime/worker.py with its end of a socket pair.

The folder is where quantized bases are kept.

Requests are worked one after another, in the main thread. A second thread listens all the while: for cancellations,
and for the end of the server, with which the process ends at once, in the middle of whatever it does.
"""

import logging
import os
import socket
import sys
import threading
from collections.abc import Iterator
from pathlib import Path
from queue import SimpleQueue
from typing import TYPE_CHECKING

from runtime import cpu
from runtime.noise import hush_libraries
from runtime.worker_protocol import (
    Cancel,
    Done,
    Generate,
    LastWords,
    Load,
    LoadFailed,
    Refused,
    Request,
    Unload,
    decode_request,
    line,
)
from state.errors import ServiceError

if TYPE_CHECKING:
    from runtime.inference.engine import Engine

log = logging.getLogger("inference")


class Inbox:
    """The server's requests in their order; those cancelled while they waited are left out."""

    def __init__(self, server: socket.socket) -> None:
        self._lines = server.makefile("rb")
        self._requests: SimpleQueue[Request] = SimpleQueue()
        self._cancelled: dict[int, threading.Event] = {}
        threading.Thread(target=self._listen, name="inbox", daemon=True).start()

    def __iter__(self) -> Iterator[tuple[Request, threading.Event]]:
        while True:
            request = self._requests.get()
            cancelled = self._cancelled[request.id]
            if not cancelled.is_set():
                yield request, cancelled
            del self._cancelled[request.id]

    def _listen(self) -> None:
        try:
            for text in self._lines:
                message = decode_request(text)
                if isinstance(message, Cancel):
                    self._cancel(message.id)
                else:
                    self._cancelled[message.id] = threading.Event()
                    self._requests.put(message)
        except ConnectionError:
            pass  # as good as the end of the file
        except Exception:  # whatever it was: a worker that no longer listens must not stay
            log.exception("The server said what this worker does not understand")
            os._exit(1)
        os._exit(0)

    def _cancel(self, request_id: int) -> None:
        cancelled = self._cancelled.get(request_id)
        if cancelled is not None:  # else it has been answered
            cancelled.set()


def main() -> None:
    cpu.prepare()
    if len(sys.argv) != 3:
        sys.exit("The server starts this process when it needs it; it is of no use by hand.")
    logging.basicConfig(level=logging.INFO, format="%(asctime)s inference worker: %(message)s")
    hush_libraries()
    server = socket.socket(fileno=int(sys.argv[1]))
    inbox = Inbox(server)
    try:
        work(inbox, server, Path(sys.argv[2]))
    except BrokenPipeError:
        os._exit(0)  # the server is gone
    except Exception as error:  # what nobody foresaw may have left anything behind: the next process starts clean
        log.exception("The inference worker ends by an error")
        server.sendall(line(LastWords(f"{type(error).__name__}: {error}")))
        os._exit(1)


def work(inbox: Inbox, server: socket.socket, quantized_bases: Path) -> None:
    from runtime.inference.engine import Engine  # noqa: PLC0415  4 s of imports, during which the inbox listens

    engine = Engine(quantized_bases)
    for request, cancelled in inbox:
        server.sendall(line(answer(engine, request, cancelled)))


def answer(engine: "Engine", request: Request, cancelled: threading.Event) -> Done | Refused:
    try:
        match request:
            case Load():
                engine.load(request.source, request.adapter)
            case Unload():
                engine.unload()
            case Generate():
                return Done(request.id, engine.generate(request, cancelled.is_set))
    except ServiceError as error:
        return Refused(request.id, str(error), loading=isinstance(error, LoadFailed))
    return Done(request.id)


if __name__ == "__main__":
    main()
