"""Where a trainer's words go: to the console, and to train.log unless that is what the console is."""

import logging
import os
import sys
from pathlib import Path

from runtime.process.noise import hush_libraries


def log_to_console_and_file(log_file: Path) -> None:
    """Launched by the server, stdout is train.log; by hand it is the terminal, and train.log gets the same lines."""
    handlers: list[logging.Handler] = [logging.StreamHandler(sys.stdout)]
    if not _is_stdout(log_file):
        handlers.append(logging.FileHandler(log_file))
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(message)s", datefmt="%H:%M:%S", handlers=handlers)
    hush_libraries()


def is_terminal() -> bool:
    return sys.stdout.isatty()


def _is_stdout(file: Path) -> bool:
    try:
        return os.path.samestat(os.fstat(sys.stdout.fileno()), file.stat())
    except (OSError, ValueError):
        return False
