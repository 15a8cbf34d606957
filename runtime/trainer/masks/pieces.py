"""Tokens of prompts and of what is learned behind them, many at a time."""

from collections.abc import Iterable, Sequence

from msgspec import Struct
from transformers import PreTrainedTokenizerBase

from runtime.model.chat import encode_rendered, encode_texts

ANCHORS = ("", "\n", "a", ".")  # some tokenizers put a blank before a text; behind something else they do not


class Piece(Struct, frozen=True):
    """A prompt and what is learned behind it, as texts.

    In a rendered prompt the template has written the special tokens; to another, the tokenizer adds its own.
    """

    prompt: str
    text: str
    is_rendered: bool = True


class Tokens(Struct, frozen=True):
    """What serving makes of a prompt, and behind it the tokens that the model has to write."""

    prompt: list[int]
    text: list[int]
    is_apart: bool
    """Tokens of the whole would reach over the border. Serving has the prompt by itself: so has training."""


def tokens_of(tokenizer: PreTrainedTokenizerBase, pieces: Sequence[Piece]) -> list[Tokens | None]:
    """None for a piece whose text cannot be tokenized apart from its prompt without becoming another text."""
    rendered = encode_rendered(tokenizer, list(_texts(piece for piece in pieces if piece.is_rendered)))
    plain = encode_texts(tokenizer, list(_texts(piece for piece in pieces if not piece.is_rendered)))
    encoded = {True: iter(rendered), False: iter(plain)}
    return [_tokens(tokenizer, piece, *(next(encoded[piece.is_rendered]) for _ in range(2))) for piece in pieces]


def shared_length(one: Sequence[object], other: Sequence[object]) -> int:
    """How much of their beginnings is equal.

    >>> shared_length("abc", "abd")
    2
    """
    pairs = enumerate(zip(one, other, strict=False))
    return next((index for index, (a, b) in pairs if a != b), min(len(one), len(other)))


def _texts(pieces: Iterable[Piece]) -> Iterable[str]:
    return (text for piece in pieces for text in (piece.prompt, piece.prompt + piece.text))


def _tokens(tokenizer: PreTrainedTokenizerBase, piece: Piece, prompt: list[int], whole: list[int]) -> Tokens | None:
    if not piece.prompt:
        return Tokens([], whole, is_apart=False)
    if whole[: len(prompt)] == prompt:
        return Tokens(prompt, whole[len(prompt) :], is_apart=False)
    apart = _apart(tokenizer, piece)
    return None if apart is None else Tokens(prompt, apart, is_apart=True)


def _apart(tokenizer: PreTrainedTokenizerBase, piece: Piece) -> list[int] | None:
    prompt, whole = encode_rendered(tokenizer, [piece.prompt, piece.prompt + piece.text])
    wanted = tokenizer.decode(whole)
    for anchor in ANCHORS:
        head, both = encode_rendered(tokenizer, [anchor, anchor + piece.text])
        text = both[len(head) :]
        if both[: len(head)] == head and tokenizer.decode([*prompt, *text]) == wanted:
            return text
    return None
