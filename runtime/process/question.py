"""The asked side of `runtime/server/processes.py`: a process that answers one question, and ends when nobody waits.

The question is a line of JSON on standard input, the answer a line on standard output. The input stays open for as
long as somebody waits for the answer.
"""

import os
import signal
import sys
import threading
from typing import TypeVar

import msgspec
from msgspec import Struct

Question = TypeVar("Question", bound=Struct)


def receive(kind: type[Question]) -> Question | None:
    """Wait for a line of JSON; None when the input has ended before it."""
    line = sys.stdin.buffer.readline()
    return msgspec.json.decode(line, type=kind) if line.endswith(b"\n") else None


def read(kind: type[Question]) -> Question:
    """Wait for the question. From here on the end of the input is a SIGTERM to this process.

    Without a handler that ends it at once, in the middle of an import, too; Python's handlers are called between two
    bytecodes, and importing torch has some that take a second.
    """
    asked = receive(kind)
    if asked is None:
        sys.exit("Nobody asks anything: this process is started by Lathe's server")
    threading.Thread(target=_end_with_the_input, daemon=True).start()
    return asked


def answer(reply: Struct) -> None:
    sys.stdout.buffer.write(msgspec.json.encode(reply) + b"\n")
    sys.stdout.buffer.flush()


def _end_with_the_input() -> None:
    os.read(sys.stdin.fileno(), 1)  # not through the buffer, whose lock would be held as the process ends
    os.kill(os.getpid(), signal.SIGTERM)
