"""`python -m runtime.export`: is asked for an export's folder on its standard input, and makes it.

Started by runtime/server/adapters/exporting.py. It ends when nobody waits for it any more, and then nothing of the
folder is left: until it writes it ends at once; from then on it clears away what it has written.
"""

import signal
import sys
from typing import NoReturn

from runtime.messages.export import Order, Outcome
from runtime.model import libraries
from runtime.process import cpu, question
from runtime.process.noise import hush_libraries
from state.errors import ServiceError
from state.jobs import DISK_FULL


def main() -> None:
    cpu.prepare()
    hush_libraries()
    order = question.read(Order)
    libraries.load()
    from runtime.export.making import export  # noqa: PLC0415  imports torch, which takes seconds

    signal.signal(signal.SIGTERM, _end)
    try:
        export(order)
        outcome = Outcome()
    except ServiceError as error:
        outcome = Outcome(error=str(error))
    except OSError as error:
        if error.errno not in DISK_FULL:
            raise
        outcome = Outcome(errno=error.errno)
    question.answer(outcome)


def _end(*_: object) -> NoReturn:
    sys.exit(128 + signal.SIGTERM)


if __name__ == "__main__":
    main()
