"""What a step is computed on: documents, of whose tokens some are learned."""

from collections.abc import Iterable

from msgspec import Struct

Span = tuple[int, int]


class Document(Struct, frozen=True):
    """Tokens that the model reads, and the spans of them that it learns: (first, behind the last), in order.

    A token is learned from those before it, so none is at 0, and the spans' lengths are the number of targets.
    """

    tokens: list[int]
    spans: list[Span]

    def __len__(self) -> int:
        return len(self.tokens)

    @property
    def num_targets(self) -> int:
        return sum(end - begin for begin, end in self.spans)


def whole(tokens: list[int]) -> Document:
    """A document of which everything is learned."""
    return Document(tokens, [(1, len(tokens))])


def num_targets(documents: Iterable[Document]) -> int:
    """Tokens that are learned."""
    return sum(document.num_targets for document in documents)


def shortened(document: Document, most: int) -> Document:
    """The first tokens, and of the spans what is left of them."""
    spans = [(begin, min(end, most)) for begin, end in document.spans if begin < most]
    return Document(document.tokens[:most], spans)
