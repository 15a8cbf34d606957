"""What the steps of a job's first epoch take, as flat arrays: 12 bytes a document, and 16 a step."""

from collections.abc import Iterator

import numpy as np
from msgspec import Struct
from numpy.typing import NDArray

from runtime.trainer import batches
from runtime.trainer.preferences.pairs import by_pair
from runtime.trainer.token_files import TokenFiles
from state.config import TrainingConfig


class Steps(Struct, frozen=True):
    """The other epochs' steps are much like these."""

    document_tokens: NDArray[np.uint32]
    """The length of each document, or pair of them, in the order in which the steps take them."""
    first_documents: NDArray[np.int64]
    """Each step's first document in that order, and the number of documents."""
    targets: NDArray[np.int64]
    """How many tokens each step learns."""

    def __len__(self) -> int:
        return len(self.targets)

    def __iter__(self) -> Iterator[NDArray[np.uint32]]:
        """The lengths of the documents of each step."""
        first = self.first_documents
        return (self.document_tokens[first[step] : first[step + 1]] for step in range(len(self)))

    @property
    def tokens(self) -> NDArray[np.int64]:
        """Of each step, learned or not."""
        return np.add.reduceat(self.document_tokens, self.first_documents[:-1], dtype=np.int64)


def of_first_epoch(config: TrainingConfig, rows: TokenFiles, seed: int) -> Steps:
    """The steps that `batches.examples_of_step` says, all at once. Of preferences each pair counts as one document."""
    lengths, targets, first_documents = rows.lengths, rows.targets, rows.first_documents
    if config.method == "dpo":
        lengths, targets, first_documents = by_pair(lengths), by_pair(targets), np.arange(len(rows) + 1)
    order = np.asarray(batches.order_of_epoch(len(rows), 0, seed))
    starts = np.arange(0, len(rows), config.batch_size * config.gradient_accumulation_steps)
    documents, first = _taken(order, first_documents)
    first_of_steps = np.append(first[starts], len(documents))
    return Steps(
        lengths.astype(np.uint32)[documents],
        first_of_steps,
        np.add.reduceat(targets[documents], first_of_steps[:-1], dtype=np.int64),
    )


def _taken(order: NDArray[np.int64], first_documents: NDArray[np.int64]) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """The documents of rows in this order, and of each row where its own begin in there. Each row has at least one."""
    counts = np.diff(first_documents)[order]
    begins = np.cumsum(counts) - counts
    documents = np.arange(counts.sum()) + np.repeat(first_documents[order] - begins, counts)
    return documents, begins
