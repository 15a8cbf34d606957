"""`python -m runtime.export`: is asked for an export's folder on its standard input, and makes it.

Started by runtime/server/adapters/exporting.py. It ends when nobody waits for it any more, and then nothing of the
folder is left: until it writes it ends at once; from then on it clears away what it has written.
"""

import signal
import sys
from typing import NoReturn

from runtime.messages.export import Made, Order
from runtime.model import libraries
from runtime.process import cpu, question
from runtime.process.noise import hush_libraries


def make(order: Order) -> Made:
    """Raises ServiceError for what cannot be exported, OSError."""
    libraries.load()
    from runtime.export.making import export  # noqa: PLC0415  imports torch, which takes seconds

    signal.signal(signal.SIGTERM, _end)
    export(order)
    return Made()


def _end(*_: object) -> NoReturn:
    sys.exit(128 + signal.SIGTERM)


if __name__ == "__main__":
    cpu.prepare()
    hush_libraries()
    question.serve(Order, make)
