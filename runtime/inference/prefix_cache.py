"""The prefix cache: KV caches of sequences that have ended, for others whose prompts begin with the same tokens.

A conversation's next turn begins with all of the turn before; the requests of one program share their instructions;
`n` answers to one prompt share all of it.
"""

from collections.abc import Collection, Sequence
from itertools import compress, count
from operator import ne

from msgspec import Struct

from runtime.inference.kv_cache import KVCache
from runtime.messages.inference import AdapterFiles

SHORTEST = 16  # tokens; fewer are as soon computed as copied


class Prefix(Struct, frozen=True):
    """`cache.length` of `tokens` are computed, as one adapter, or the bare base, computes them."""

    adapter: AdapterFiles | None
    tokens: Sequence[int]
    cache: KVCache

    def common(self, adapter: AdapterFiles | None, tokens: Sequence[int]) -> int:
        """How many of the first of these tokens it has computed, for this adapter."""
        return min(common_length(tokens, self.tokens), self.cache.length) if adapter == self.adapter else 0

    def covers(self, other: "Prefix") -> bool:
        """Whether it has computed everything that the other one has."""
        return min(self.common(other.adapter, other.tokens), other.cache.length) == other.cache.length


class PrefixCache:
    """At most so many bytes; the least recently used prefix goes first."""

    def __init__(self, most_bytes: int) -> None:
        self._most_bytes = most_bytes
        self.prefixes: list[Prefix] = []
        """The last is the most recently used."""

    def add(self, new: Prefix) -> None:
        """Add a prefix. It replaces entries that it covers; if an entry covers it, that entry stays."""
        if new.cache.length < SHORTEST:
            return
        covering = next((prefix for prefix in self.prefixes if prefix.covers(new)), None)
        if covering is not None:
            self.use(covering)
            return
        self.prefixes = [prefix for prefix in self.prefixes if not new.covers(prefix)]
        self.prefixes.append(new)
        while sum(prefix.cache.nbytes for prefix in self.prefixes) > self._most_bytes:
            del self.prefixes[0]

    def clear(self) -> bool:
        """Forget everything. Returns whether there was anything."""
        held = bool(self.prefixes)
        self.prefixes.clear()
        return held

    def drop_oldest(self) -> bool:
        """Forget what was not used for longest. Returns whether there was anything."""
        held = bool(self.prefixes)
        del self.prefixes[:1]
        return held

    def keep_those_of(self, adapters: Collection[AdapterFiles]) -> None:
        """Forget what other adapters have computed; what the bare base has computed stays."""
        self.prefixes = [prefix for prefix in self.prefixes if prefix.adapter is None or prefix.adapter in adapters]

    def use(self, prefix: Prefix) -> None:
        """Mark a prefix as the most recently used one, if it is in the cache."""
        if any(other is prefix for other in self.prefixes):
            self.prefixes = [other for other in self.prefixes if other is not prefix] + [prefix]


def common_length(some: Sequence[int], others: Sequence[int]) -> int:
    """How many tokens two texts begin with in common.

    >>> common_length([1, 2, 3], [1, 2, 4, 5])
    2
    """
    return next(compress(count(), map(ne, some, others)), min(len(some), len(others)))
