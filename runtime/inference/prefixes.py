"""Text that was computed once and need not be again: what sequences have kept, for others that begin alike.

A conversation's next turn begins with all of the turn before; the requests of one program share their instructions;
`n` answers to one prompt share all of it.
"""

from collections.abc import Collection, Sequence

from msgspec import Struct

from runtime.inference.ragged import Kept
from runtime.messages.inference import AdapterFiles

WORTH = 16  # tokens; fewer are as soon computed as copied


class Computed(Struct, frozen=True):
    """Tokens whose keys and values are there: `kept.length` of `tokens`, as one adapter, or the bare base, has them."""

    adapter: AdapterFiles | None
    tokens: Sequence[int]
    kept: Kept


class Prefixes:
    """What sequences that have ended leave behind, the least recently used one going first when it is too much."""

    def __init__(self, most_bytes: int) -> None:
        self._most_bytes = most_bytes
        self._left: list[Computed] = []

    def leave(self, computed: Computed) -> None:
        """Remember it, in place of what it begins with; not where something remembered begins with it."""
        covering = next((other for other in self._left if _continues(other, computed)), None)
        if covering is not None:
            self._refresh(covering)
            return
        self._left = [other for other in self._left if not _continues(computed, other)]
        self._left.append(computed)
        while self._left and sum(other.kept.nbytes for other in self._left) > self._most_bytes:
            del self._left[0]

    def keep_those_of(self, adapters: Collection[AdapterFiles]) -> None:
        """Forget what other adapters have computed; what the bare base has computed stays."""
        self._left = [computed for computed in self._left if computed.adapter is None or computed.adapter in adapters]

    def longest(self, adapter: AdapterFiles | None, tokens: Sequence[int]) -> tuple[Computed | None, int]:
        """Who has most of the beginning of these tokens, and how many."""
        best, most = None, 0
        for other in self._left:
            if other.adapter == adapter and (common := _available(tokens, other)) > most:
                best, most = other, common
        if best is not None:
            self._refresh(best)
        return best, most

    def _refresh(self, computed: Computed) -> None:
        """The last is the most recently used."""
        self._left = [other for other in self._left if other is not computed] + [computed]


def in_common(some: Sequence[int], others: Sequence[int]) -> int:
    """How many tokens two texts begin with in common."""
    for at, (one, other) in enumerate(zip(some, others, strict=False)):
        if one != other:
            return at
    return min(len(some), len(others))


def _available(tokens: Sequence[int], computed: Computed) -> int:
    return min(in_common(tokens, computed.tokens), computed.kept.length)


def _continues(computed: Computed, other: Computed) -> bool:
    return computed.adapter == other.adapter and _available(computed.tokens, other) == other.kept.length
