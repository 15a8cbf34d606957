"""`python -m runtime.export`: reads an order on its standard input, and makes the folder that it asks for.

Started by runtime/server/adapters/exporting.py. It ends with that: when its standard input closes, and by SIGTERM. Then
nothing of the folder is left.
"""

import os
import signal
import sys
import threading
from pathlib import Path
from typing import NoReturn

import msgspec

from runtime.messages.export import Order, Outcome
from runtime.process import cpu
from runtime.process.noise import hush_libraries
from state import exports, folders
from state.errors import ServiceError
from state.jobs import DISK_FULL


def main() -> None:
    cpu.prepare()
    hush_libraries()
    signal.signal(signal.SIGTERM, _end)
    order = msgspec.json.decode(sys.stdin.buffer.readline(), type=Order)
    threading.Thread(target=_end_with_the_server, daemon=True).start()
    try:
        export(order)
        outcome = Outcome()
    except ServiceError as error:
        outcome = Outcome(error=str(error))
    except OSError as error:
        if error.errno not in DISK_FULL:
            raise
        outcome = Outcome(errno=error.errno)
    sys.stdout.buffer.write(msgspec.json.encode(outcome) + b"\n")


def export(order: Order) -> None:
    """Have the order's folder, in place of the one before. Raises ServiceError, OSError."""
    from runtime.export import gguf_lora, gguf_model, merged  # noqa: PLC0415  these import torch, which takes seconds
    from runtime.export.fitted import Fitted  # noqa: PLC0415

    write = {"merged": merged.write, "gguf": gguf_model.write, "gguf-lora": gguf_lora.write}[order.format]
    adapter = Path(order.adapter)
    with folders.appearing(Path(order.target), replacing=True) as hidden:
        write(Fitted.of(adapter, order.model_name, order.source), hidden)
        exports.write_record(hidden, adapter.name, order.model_name, order.format)


def _end(*_: object) -> NoReturn:
    sys.exit(128 + signal.SIGTERM)


def _end_with_the_server() -> None:
    os.read(sys.stdin.fileno(), 1)  # not through the buffer, whose lock would be held as the process ends
    os.kill(os.getpid(), signal.SIGTERM)


if __name__ == "__main__":
    main()
