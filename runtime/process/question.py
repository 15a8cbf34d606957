"""A process that is asked one question, and ends when nobody waits for its answer: `runtime/server/processes.py` asks.

The question is a line of JSON on standard input, the reply a line on standard output. The input stays open for as long
as somebody waits for the reply.
"""

import os
import signal
import sys
import threading
from collections.abc import Callable
from typing import NoReturn, TypeVar

import msgspec
from msgspec import Struct

from runtime.process.exit import leave
from state.errors import ServiceError
from state.jobs import DISK_FULL

Question = TypeVar("Question", bound=Struct)
Answer = TypeVar("Answer", bound=Struct)


class Reply(Struct, frozen=True, omit_defaults=True):
    """The process's last line: its answer, or why there is none, in words or as the disk says it."""

    answer: msgspec.Raw = msgspec.Raw(b"null")
    error: str | None = None
    errno: int | None = None

    def read(self, kind: type[Answer]) -> Answer:
        """The answer. Raises ServiceError for what was refused, OSError when the disk was full."""
        if self.errno is not None:
            raise OSError(self.errno, os.strerror(self.errno))
        if self.error is not None:
            raise ServiceError(self.error)
        return msgspec.json.decode(self.answer, type=kind)


def serve(kind: type[Question], answer: Callable[[Question], Struct]) -> NoReturn:
    """Wait for the question, answer it, and end the process.

    From the question on, the end of the input is a SIGTERM to this process. Without a handler that ends it at once, in
    the middle of an import, too; Python's handlers are called between two bytecodes, and importing torch has some that
    take a second.
    """
    asked = receive(kind)
    if asked is None:
        sys.exit("Nobody asks anything: this process is started by Lathe's server")
    threading.Thread(target=_end_with_the_input, daemon=True).start()
    sys.stdout.buffer.write(msgspec.json.encode(_reply(asked, answer)) + b"\n")
    leave(0)


def receive(kind: type[Question]) -> Question | None:
    """Wait for a line of JSON; None when the input has ended before it."""
    line = sys.stdin.buffer.readline()
    return msgspec.json.decode(line, type=kind) if line.endswith(b"\n") else None


def _reply(asked: Question, answer: Callable[[Question], Struct]) -> Reply:
    try:
        return Reply(answer=msgspec.Raw(msgspec.json.encode(answer(asked))))
    except ServiceError as error:
        return Reply(error=str(error))
    except OSError as error:
        if error.errno not in DISK_FULL:
            raise
        return Reply(errno=error.errno)


def _end_with_the_input() -> None:
    os.read(sys.stdin.fileno(), 1)  # not through the buffer, whose lock would be held as the process ends
    os.kill(os.getpid(), signal.SIGTERM)
