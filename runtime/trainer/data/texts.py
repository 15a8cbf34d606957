"""A document's text, divided where it begins and ends to be learned."""

from collections.abc import Iterator
from itertools import pairwise

from transformers import PreTrainedTokenizerBase

from runtime.messages.preview import Piece
from runtime.model.text import decoded
from runtime.trainer.documents import Document
from runtime.trainer.masks.pieces import shared_length


def pieces(tokenizer: PreTrainedTokenizerBase, document: Document) -> list[Piece]:
    """Their texts, one after another, are the document's, to the last character.

    Tokens cannot be decoded piece by piece: some decoders take the blank from a text's beginning, and bytes of one
    character may be tokens of two pieces, as at the beginning of a text whose first token is not learned. Such a
    character is in the later piece, which completes it.
    """
    borders = list(_borders(document))
    whole = decoded(tokenizer, document.tokens, special=True)
    cuts = [0]
    for end, _ in borders[:-1]:
        # what the first tokens decode to, but for a character that they only begin
        cuts.append(max(shared_length(whole, decoded(tokenizer, document.tokens[:end], special=True)), cuts[-1]))
    cuts.append(len(whole))
    begins = [0, *(end for end, _ in borders)]
    return [
        Piece(whole[cut:behind], learned=learned, num_tokens=end - begin)
        for (cut, behind), begin, (end, learned) in zip(pairwise(cuts), begins, borders, strict=False)
    ]


def _borders(document: Document) -> Iterator[tuple[int, bool]]:
    """Where each piece ends, and whether it is learned."""
    at = 0
    for begin, end in document.spans:
        if begin > at:
            yield begin, False
        yield end, True
        at = end
    if at < len(document):
        yield len(document), False
