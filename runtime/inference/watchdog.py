"""Ends a worker that hangs in the middle of a pass: only another process can answer then.

Loading is not watched: a download or the quantization of a large model takes as long as it takes.
"""

import faulthandler
import logging
import time
from collections.abc import Callable

PASS_LIMIT_S = 600.0  # a pass of 512 tokens of a 7B model takes some 20 s on 2 cores
EVERY_S = 1.0

log = logging.getLogger("inference")


def watch(pass_began_s: Callable[[], float | None], end: Callable[[str], None], limit_s: float = PASS_LIMIT_S) -> None:
    """Wait until a pass lasts longer than it may, then write to stderr where it is, and call `end` with the reason.

    `pass_began_s` is the monotonic clock's time at which the pass under way began; None between passes.
    """
    while True:
        began_s = pass_began_s()
        if began_s is not None and time.monotonic() - began_s > limit_s:
            break
        time.sleep(min(EVERY_S, limit_s / 4))
    faulthandler.dump_traceback()
    end(f"The model has computed for more than {limit_s:g} s without a token, and is taken to hang")
