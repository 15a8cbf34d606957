"""How much memory KV caches may take: it is set aside for a sequence before the sequence takes it.

So is what the logits of a prompt's tokens take where all of them are wanted.
"""

from collections.abc import Callable, Collection

from runtime.inference.base import Base
from runtime.inference.paged.pool import PagePool
from runtime.inference.sequence import Sequence
from runtime.model.failures import is_out_of_memory

POOL_GROWTH = 1 / 2  # of its pages, where there is memory: passes that were recorded of them are recorded again
KV_CACHE_SHARE = 1 / 2  # of the free memory, for what running sequences may still take: a pass takes some, others too


class KVBudget:
    """Decides whether more tokens fit beside those that memory is set aside for already."""

    def __init__(self, free_bytes: Callable[[], int]) -> None:
        self._free_bytes = free_bytes

    def fits(self, base: Base, running: Collection[Sequence], tokens: int, scoring_bytes: int = 0) -> bool:
        """Whether so many more tokens fit, beside what the running sequences may still take.

        `scoring_bytes` is what a sequence that is to run takes in passes over its prompt. However many take something
        there, a pass takes no more than for one of them.
        """
        scoring = max([scoring_bytes, *(sequence.scoring_bytes for sequence in running)])
        return _missing(base, running, tokens) + scoring <= self._available()

    def make_room(self, base: Base, running: Collection[Sequence], tokens: int, scoring_bytes: int = 0) -> bool:
        """Empty the prefix cache if so many more tokens do not fit beside it. Returns whether they fit now.

        Of a pool's pages it gives up what was not used for longest, until they are enough. Pages that there is memory
        for, and that the pool lacks, are made now: no pass waits for them, or finds that they were taken.
        """
        pool = base.runner.pool
        if pool is None:
            if self.fits(base, running, tokens, scoring_bytes):
                return True
            return base.empty_prefix_cache() and self.fits(base, running, tokens, scoring_bytes)
        while not self.fits(base, running, tokens, scoring_bytes):
            if not base.prefix_cache.drop_oldest():
                return False
        if missing := _missing_pages(pool, running, tokens):
            affordable = int(self._available() - scoring_bytes) // pool.bytes_per_page
            return _grow(pool, max(missing, min(int(POOL_GROWTH * pool.num_pages), affordable)))
        return True

    def reserve_more(self, running: Collection[Sequence], sequence: Sequence) -> bool:
        """Set memory aside for a sequence's next tokens. Returns whether there is enough now."""
        wanted = sequence.wanted
        if wanted and not self.make_room(sequence.base, running, wanted):
            return False
        sequence.reserved += wanted
        return True

    def refusal(self, sequence: Sequence) -> str:
        """Why a sequence cannot be computed even alone."""
        needed = sequence.reserved * sequence.base.runner.cache_bytes_per_token
        scoring = sequence.scoring_bytes
        pool = sequence.base.runner.pool
        available = self._available() + (pool.bytes_per_page * pool.free_pages if pool else 0)
        logits = f" and the logits of the prompt's {scoring / 1e6:,.0f} MB" if scoring else ""
        return (
            f"The prompt has {sequence.num_prompt_tokens} tokens and up to {sequence.max_new_tokens} may follow: their "
            f"KV cache takes up to {needed / 1e6:,.0f} MB{logits}, and {available / 1e6:,.0f} MB of memory can "
            f"be given to {'both' if scoring else 'it'} now. Ask for fewer tokens, or try again when there is more "
            "memory"
        )

    def _available(self) -> float:
        return KV_CACHE_SHARE * self._free_bytes()


def _missing(base: Base, running: Collection[Sequence], tokens: int) -> int:
    """Bytes to be taken of the device for so many more tokens, and for those that are set aside."""
    pool = base.runner.pool
    if pool is not None:
        return pool.bytes_per_page * _missing_pages(pool, running, tokens)
    set_aside = sum(sequence.reserved - sequence.num_computed for sequence in running)
    return base.runner.cache_bytes_per_token * (set_aside + tokens)


def _grow(pool: PagePool, pages: int) -> bool:
    """Whether the device had the memory: what is free need not be in one piece."""
    try:
        pool.grow(pages)
    except Exception as error:
        if not is_out_of_memory(error):
            raise
        return False
    return True


def _missing_pages(pool: PagePool, running: Collection[Sequence], tokens: int) -> int:
    set_aside = sum(pool.pages_of(sequence.reserved) - len(sequence.cache.pages) for sequence in running)
    return max(0, set_aside + pool.pages_of(tokens) - pool.free_pages)
