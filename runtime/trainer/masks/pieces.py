"""Tokens of prompts and of what is learned behind them, many at a time."""

from collections.abc import Sequence

from msgspec import Struct
from transformers import PreTrainedTokenizerBase

from runtime.model.chat import encode_rendered, encode_texts
from runtime.trainer.masks.vocabulary import Vocabulary

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


def tokens_of(
    tokenizer: PreTrainedTokenizerBase, vocabulary: Vocabulary, pieces: Sequence[Piece]
) -> list[Tokens | None]:
    """None for a piece whose text cannot be tokenized apart from its prompt without becoming another text.

    A rendered prompt is tokenized in segments, each from a special token on. What rows have in common, and what the
    later prompts of a conversation repeat, is tokenized once.
    """
    rendered = {piece: vocabulary.segments(piece.prompt) for piece in pieces if piece.is_rendered}
    texts = {text: None for piece, segments in rendered.items() for text in (*segments, segments[-1] + piece.text)}
    known = dict(zip(texts, encode_rendered(tokenizer, list(texts)), strict=True))
    plain = iter(encode_texts(tokenizer, [text for piece in pieces if not piece.is_rendered for text in _whole(piece)]))
    return [
        _behind(tokenizer, piece, [known[text] for text in rendered[piece]], known[rendered[piece][-1] + piece.text])
        if piece.is_rendered
        else _behind(tokenizer, piece, [next(plain)], next(plain))
        for piece in pieces
    ]


def _whole(piece: Piece) -> tuple[str, str]:
    return piece.prompt, piece.prompt + piece.text


def _behind(
    tokenizer: PreTrainedTokenizerBase, piece: Piece, prompt: Sequence[list[int]], last: list[int]
) -> Tokens | None:
    """From the tokens of a prompt's segments, and those of the last of them with the text."""
    served = [token for segment in prompt for token in segment]
    if not piece.prompt:
        return Tokens([], last, is_apart=False)
    if last[: len(prompt[-1])] == prompt[-1]:
        return Tokens(served, last[len(prompt[-1]) :], is_apart=False)
    apart = _apart(tokenizer, piece)
    return None if apart is None else Tokens(served, apart, is_apart=True)


def shared_length(one: Sequence[object], other: Sequence[object]) -> int:
    """How much of their beginnings is equal.

    >>> shared_length("abc", "abd")
    2
    """
    pairs = enumerate(zip(one, other, strict=False))
    return next((index for index, (a, b) in pairs if a != b), min(len(one), len(other)))


def _apart(tokenizer: PreTrainedTokenizerBase, piece: Piece) -> list[int] | None:
    prompt, whole = encode_rendered(tokenizer, [piece.prompt, piece.prompt + piece.text])
    wanted = tokenizer.decode(whole)
    for anchor in ANCHORS:
        head, both = encode_rendered(tokenizer, [anchor, anchor + piece.text])
        text = both[len(head) :]
        if tokenizer.decode([*prompt, *text]) == wanted:
            return text
    return None
