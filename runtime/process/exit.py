"""How a process that has computed with torch ends."""

import logging
import os
import sys
from contextlib import suppress
from typing import NoReturn


def leave(exit_code: int) -> NoReturn:
    """End the process now. To be called when all that must last is on the disk; what was logged is flushed here.

    The interpreter's own end, with torch and its libraries in it, computes on for 1 to 3 s and holds all memory, while
    the next job already starts.
    """
    logging.shutdown()
    for stream in (sys.stdout, sys.stderr):
        with suppress(OSError, ValueError):  # a reader that is gone, or a stream that is closed
            stream.flush()
    os._exit(exit_code)
