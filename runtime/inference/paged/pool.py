"""Pages of keys and values: one pool for all sequences of a base (PagedAttention, Kwon et al. 2023).

A sequence's tokens lie in whichever pages are free, so nothing is moved when it grows; and sequences that begin alike
have the pages of their beginning in common.
"""

import heapq
import weakref
from collections.abc import Iterable

import torch

PAGE = 256  # tokens; flash attention takes pages of multiples of this
SCRATCH = 0  # the page that no sequence has: what fills a pass up writes there
AT_FIRST = 3  # pages


class PagePool:
    """A pair of tensors [pages, page, H, D] for each layer, which are made when the layer is first computed.

    What is in a free page is whatever was last written there. Growing moves the tensors: `generation` says so.
    """

    def __init__(self) -> None:
        self.page = PAGE
        """Tokens."""
        self.generation = 0
        self._layers: dict[int, tuple[torch.Tensor, torch.Tensor]] = {}
        self._users = [1] + [0] * (AT_FIRST - 1)
        """How many have each page."""
        self._free = list(range(1, AT_FIRST))

    @property
    def num_pages(self) -> int:
        return len(self._users)

    @property
    def free_pages(self) -> int:
        return len(self._free)

    @property
    def bytes_per_page(self) -> int:
        return sum(part[0].nbytes for pair in self._layers.values() for part in pair)

    def write(
        self, layer: int, slots_T: torch.Tensor, key_1HTD: torch.Tensor, value_1HTD: torch.Tensor
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """Put T tokens' keys and values of a layer where they belong; returns all of that layer's.

        A slot is the place of a token in the pool: its page's number times `page`, and its place in the page.
        """
        if layer not in self._layers:
            self._layers[layer] = (self._made(key_1HTD), self._made(value_1HTD))
        pair = self._layers[layer]
        for part, new_1HTD in zip(pair, (key_1HTD, value_1HTD), strict=True):
            part.flatten(0, 1).index_copy_(0, slots_T, new_1HTD[0].transpose(0, 1).to(part.dtype))
        return pair

    @torch.inference_mode()
    def grow(self, pages: int) -> None:
        """Have so many more pages. What fails for lack of memory leaves the pages that there were."""
        grown = self.num_pages + pages
        self.generation += 1
        for layer, pair in self._layers.items():
            keys, values = (_larger(part, self.num_pages, grown) for part in pair)
            self._layers[layer] = (keys, values)
        for page in range(self.num_pages, grown):
            heapq.heappush(self._free, page)
        self._users += [0] * pages

    def pages_of(self, tokens: int) -> int:
        """How many pages so many tokens take."""
        return -(-tokens // self.page)

    def take(self) -> int:
        """A free page, by now the caller's. Raises torch.OutOfMemoryError where there is none."""
        if not self._free:
            raise torch.OutOfMemoryError(f"All {self.num_pages} pages of keys and values are in use")
        page = heapq.heappop(self._free)
        self._users[page] = 1
        return page

    def share(self, pages: Iterable[int]) -> None:
        """Have pages that somebody has already, too."""
        for page in pages:
            self._users[page] += 1

    def release(self, pages: Iterable[int]) -> None:
        """Give pages back; one that nobody has any more is free."""
        for page in pages:
            self._users[page] -= 1
            if not self._users[page]:
                heapq.heappush(self._free, page)

    def copy(self, source: int, target: int) -> None:
        """Of all layers."""
        for pair in self._layers.values():
            for part in pair:
                part[target] = part[source]

    def _made(self, like_1HTD: torch.Tensor) -> torch.Tensor:
        _, heads, _, width = like_1HTD.shape
        return like_1HTD.new_zeros((self.num_pages, self.page, heads, width))


class PagedCache:
    """The KV cache of one sequence: the pages of its `length` tokens, and of those that are about to be computed.

    They are given back when nobody holds it any more, as a tensor's memory is.
    """

    def __init__(self, pool: PagePool, shared: Iterable[int] = (), length: int = 0) -> None:
        self.length = length
        self.pages = list(shared)
        self._pool = pool
        pool.share(self.pages)
        weakref.finalize(self, pool.release, self.pages).atexit = False

    def reserve(self, tokens: int) -> None:
        """Have pages for so many tokens. Raises torch.OutOfMemoryError where there are too few."""
        while len(self.pages) < self._pool.pages_of(tokens):
            self.pages.append(self._pool.take())

    def slot(self, position: int) -> int:
        """Where a token of it is in the pool."""
        page = self._pool.page
        return self.pages[position // page] * page + position % page

    def prefix(self, length: int) -> "PagedCache":
        """The first tokens': the same pages, and a copy of the last one if it is not full, as it will be written on."""
        whole = length // self._pool.page
        prefix = PagedCache(self._pool, self.pages[:whole], length)
        prefix.reserve(length)
        if len(prefix.pages) > whole:
            self._pool.copy(self.pages[whole], prefix.pages[whole])
        return prefix

    @property
    def nbytes(self) -> int:
        return len(self.pages) * self._pool.bytes_per_page


def _larger(part: torch.Tensor, filled: int, pages: int) -> torch.Tensor:
    larger = part.new_empty((pages, *part.shape[1:]))
    larger[:filled] = part[:filled]
    return larger
