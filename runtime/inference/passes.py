"""Forward passes, and what is left of one that fails.

A pass that fails is computed again in halves, until the sequence that it fails for is by itself: the others have the
tokens that they would have had.
"""

import logging
import time
from collections.abc import Iterator
from itertools import groupby

import torch

from runtime.inference import failures
from runtime.inference.adapters import Share, TokensReordered
from runtime.inference.base import Base
from runtime.inference.scheduling import Batch
from runtime.inference.sequence import Sequence
from runtime.model.failures import is_out_of_memory

log = logging.getLogger("inference")

Outcome = tuple[Sequence, torch.Tensor | Exception]
"""The logits [N, V] that a sequence's chunk wants, or why they cannot be computed."""


class Passes:
    """Computes batches. `began_s` is for the watchdog."""

    def __init__(self) -> None:
        self.began_s: float | None = None
        """When the pass under way began, by the monotonic clock; None between passes."""

    def compute(self, base: Base, batch: Batch) -> Iterator[Outcome]:
        """One outcome for each sequence, as soon as there is one. Raises what leaves the device unable to compute."""
        for together in _split(base, sorted(batch, key=_adapter)):
            yield from self._attempt(base, together)

    def _attempt(self, base: Base, together: Batch) -> Iterator[Outcome]:
        """One pass; if it fails, passes of its halves."""
        try:
            logits_NV = self._logits(base, together)
        except Exception as error:
            if failures.is_fatal(error):
                raise
            if not (isinstance(error, TokensReordered) or is_out_of_memory(error)):
                log.exception("A pass of %d sequences failed", len(together))
            failure = error.with_traceback(None)  # its frames hold the pass's tensors
        else:
            yield from _computed(together, logits_NV)
            return
        yield from self._after_failure(base, together, failure)

    def _after_failure(self, base: Base, together: Batch, failure: Exception) -> Iterator[Outcome]:
        has_more_memory = is_out_of_memory(failure) and base.empty_prefix_cache()
        if isinstance(failure, TokensReordered):
            base.mixes_adapters = False
        if len(together) > 1:
            half = len(together) // 2
            log.warning("A pass of %d sequences is computed in halves: %s", len(together), failure)
            yield from self._attempt(base, together[:half])
            yield from self._attempt(base, together[half:])
        elif has_more_memory:
            yield from self._attempt(base, together)
        else:
            [(sequence, _)] = together
            yield sequence, failure

    def _logits(self, base: Base, together: Batch) -> torch.Tensor:
        self.began_s = time.monotonic()
        try:
            base.adapters.begin_pass(
                [Share(sequence.adapter, len(chunk.tokens), chunk.num_logits) for sequence, chunk in together]
            )
            return base.runner.logits([chunk for _, chunk in together])
        finally:
            self.began_s = None


def _computed(together: Batch, logits_NV: torch.Tensor) -> Iterator[Outcome]:
    parts = logits_NV.split([chunk.num_logits for _, chunk in together])
    for (sequence, chunk), part_NV in zip(together, parts, strict=True):
        sequence.num_computed += len(chunk.tokens)
        yield sequence, part_NV


def _split(base: Base, batch: Batch) -> list[Batch]:
    """The passes that a batch, sorted by adapter, takes: one where the model can batch its sequences and adapters."""
    if not base.runner.is_batched:
        return [[one] for one in batch]
    if not base.mixes_adapters:
        return [list(group) for _, group in groupby(batch, key=_adapter)]
    return [batch] if batch else []


def _adapter(one: tuple[Sequence, object]) -> int:
    """Sorts an adapter's sequences together, so that its rows lie together in the pass."""
    return id(one[0].adapter)
