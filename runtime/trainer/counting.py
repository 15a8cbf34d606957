"""How far the reading of rows is: in words, on a terminal as a bar, and in the log."""

import logging
import time
from collections.abc import Callable, Iterator
from typing import TypeVar

from tqdm import tqdm

from runtime.trainer.console import is_terminal

Tell = Callable[[str], None]
"""Takes what a job does at the moment, in a sentence, in place of what it did before."""

TELL_EVERY_S = 1.0  # it is written to status.json, and a write is a flush to the disk
LOG_EVERY_S = 15.0

Item = TypeVar("Item")

log = logging.getLogger("trainer")


def nobody(_: str) -> None:
    """For who does not want to know."""


def counted(items: Iterator[Item], what: str, total: int | None, tell: Tell) -> Iterator[Item]:
    """The same items. `what` is done to them, such as "Tokenizing train.jsonl"; `total` is about how many there are."""
    began = told = logged = time.monotonic()
    count = 0
    tell(_sentence(what, 0, total, 0.0))
    for count, item in enumerate(
        tqdm(items, desc=what, total=total, unit=" rows", disable=not is_terminal(), dynamic_ncols=True), start=1
    ):
        yield item
        now = time.monotonic()
        if now - told >= TELL_EVERY_S:
            told = now
            sentence = _sentence(what, count, total, now - began)
            tell(sentence)
            if now - logged >= LOG_EVERY_S:
                logged = now
                log.info("%s", sentence)
    log.info("%s: %s rows in %.1f s", what, f"{count:,}", time.monotonic() - began)


def _sentence(what: str, count: int, total: int | None, elapsed_s: float) -> str:
    """How many are done, how many a second, and how long the rest takes if it goes on like this."""
    of = f" of {max(count, total):,}" if total is not None else ""
    said = [f"{what}: {count:,}{of} rows"]
    if count and elapsed_s:
        said.append(f"{count / elapsed_s:,.0f} rows/s")
        if total is not None and total >= count:
            said.append(f"{tqdm.format_interval(elapsed_s / count * (total - count))} left")
    return ", ".join(said)
