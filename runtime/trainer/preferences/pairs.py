"""A row of preferences as two documents that stay together: in a step, in a packed row, and when they are too long."""

from collections.abc import Iterator, Sequence

import numpy as np
from msgspec import Struct
from numpy.typing import NDArray

from runtime.trainer.documents import Document, shortened
from runtime.trainer.token_files import TokenFiles


class Pair(Struct, frozen=True):
    """Two answers to one prompt. Its length is that of both documents, prompts included.

    `reference` is the log-probability of the chosen and of the rejected answer to the base, in nats.
    """

    chosen: Document
    rejected: Document
    reference: tuple[float, float] = (0.0, 0.0)

    def __len__(self) -> int:
        return len(self.chosen) + len(self.rejected)

    @property
    def documents(self) -> tuple[Document, Document]:
        return self.chosen, self.rejected


class Pairs:
    """The rows of preferences in a folder of tokens. `reference_D` is of its documents."""

    def __init__(self, rows: TokenFiles, reference_D: NDArray[np.float32]) -> None:
        self._rows = rows
        self._reference_P2 = reference_D.reshape(-1, 2)

    def __len__(self) -> int:
        return len(self._rows)

    def __getitem__(self, row: int) -> Pair:
        chosen, rejected = self._rows[row]
        of_chosen, of_rejected = self._reference_P2[row]
        return Pair(chosen, rejected, (float(of_chosen), float(of_rejected)))

    def __iter__(self) -> Iterator[Pair]:
        return (self[row] for row in range(len(self)))


def are_a_pair(documents: Sequence[Document]) -> bool:
    """Whether they are two, and learn one span each behind the same tokens."""
    if [len(document.spans) for document in documents] != [1, 1]:
        return False
    prompts = [document.tokens[: document.spans[0][0]] for document in documents]
    return prompts[0] == prompts[1]


def cut(documents: Sequence[Document], most: int) -> list[Document]:
    """Both within so many tokens; nothing where an answer is gone, or where what is left of the two is the same."""
    chosen, rejected = (shortened(document, most) for document in documents)
    if chosen.spans and rejected.spans and chosen != rejected:
        return [chosen, rejected]
    return []


def by_pair(of_documents_D: NDArray[np.int64]) -> NDArray[np.int64]:
    """The sums of each two numbers.

    >>> by_pair(np.array([1, 2, 3, 4])).tolist()
    [3, 7]
    """
    return np.asarray(of_documents_D.reshape(-1, 2).sum(axis=1))
