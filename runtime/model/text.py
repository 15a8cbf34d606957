"""Text from tokens and tokens from text, as both go over the wire bit by bit."""

from collections.abc import Sequence
from itertools import accumulate

from transformers import PreTrainedTokenizerBase

CONTEXT = 6  # tokens decoded before new ones: some tokenizers drop the space that begins a text
UNFINISHED = "\ufffd"  # what a tokenizer shows for a character's first bytes


class StoppedText:
    """The text of one completion, piece by piece. A stop string ends it, and is not part of it."""

    def __init__(self, stop: Sequence[str]) -> None:
        self._stop = stop
        self._held = ""
        self.text = ""
        self.is_stopped = False

    @property
    def length(self) -> int:
        """Of the text by now, with what is held back: where the next token's begins."""
        return len(self.text) + len(self._held)

    def add(self, new: str, *, is_last: bool = False) -> str:
        """Returns the text that is certain by now: not what may be the beginning of a stop string."""
        if self.is_stopped:
            return ""
        self._held += new
        stop = min((at for at in map(self._held.find, self._stop) if at >= 0), default=None)
        if stop is not None:
            self.is_stopped = True
            certain = self._held[:stop]
            self._held = ""
        else:
            keep = 0 if is_last else max((_begun(self._held, string) for string in self._stop), default=0)
            certain, self._held = self._held[: len(self._held) - keep], self._held[len(self._held) - keep :]
        self.text += certain
        return certain


class Detokenizer:
    """The text of one completion, token by token. A stop string ends it, and is not part of it."""

    def __init__(
        self, tokenizer: PreTrainedTokenizerBase, prompt: Sequence[int], stop: Sequence[str], *, special: bool = False
    ) -> None:
        """`special` tokens are text where this says so, and else nothing."""
        self._tokenizer = tokenizer
        self._special = special
        self._tokens = list(prompt[-CONTEXT:])
        self._begin, self._end = 0, len(self._tokens)  # the text of the tokens before _end has been given out
        self._stopped = StoppedText(stop)

    @property
    def text(self) -> str:
        return self._stopped.text

    @property
    def is_stopped(self) -> bool:
        return self._stopped.is_stopped

    @property
    def length(self) -> int:
        """Of the text by now, with what is held back: where the next token's begins."""
        return self._stopped.length

    def add(self, token: int) -> str:
        """Returns the text that is certain by now: not what may be the beginning of a stop string or of a character."""
        self._tokens.append(token)
        return self._stopped.add(self._new_text())

    def finish(self) -> str:
        """Returns the text that was held back."""
        return self._stopped.add(self._new_text(is_last=True), is_last=True)

    def _new_text(self, *, is_last: bool = False) -> str:
        before = self._decoded(self._tokens[self._begin : self._end])
        whole = self._decoded(self._tokens[self._begin :])
        if len(whole) <= len(before) or (whole.endswith(UNFINISHED) and not is_last):
            return ""
        self._begin, self._end = self._end, len(self._tokens)
        return whole[len(before) :]

    def _decoded(self, tokens: Sequence[int]) -> str:
        return decoded(self._tokenizer, tokens, special=self._special)


def decoded(tokenizer: PreTrainedTokenizerBase, tokens: Sequence[int], *, special: bool = False) -> str:
    return str(tokenizer.decode(list(tokens), skip_special_tokens=not special, clean_up_tokenization_spaces=False))


class TokenTexts(dict[int, str]):
    """Tokens by themselves as text, special ones as they are written. Each is decoded once."""

    def __init__(self, tokenizer: PreTrainedTokenizerBase) -> None:
        super().__init__()
        self._tokenizer = tokenizer

    def __missing__(self, token: int) -> str:
        self[token] = text = decoded(self._tokenizer, [token], special=True)
        return text


def special_tokens(tokenizer: PreTrainedTokenizerBase) -> dict[str, int]:
    """Those that are no text of an answer, as they are written."""
    return {token.content: number for number, token in tokenizer.added_tokens_decoder.items() if token.special}


def begins(tokenizer: PreTrainedTokenizerBase, texts: TokenTexts, tokens: Sequence[int]) -> tuple[str, list[int]]:
    """The text of tokens, special ones as they are written, and where in it each of them begins.

    A token that is a part of a character begins where the character does.
    """
    whole = decoded(tokenizer, tokens, special=True)
    single = [texts[token] for token in tokens]
    if "".join(single) == whole and UNFINISHED not in whole:
        return whole, list(accumulate(map(len, single[:-1]), initial=0))
    detokenizer = Detokenizer(tokenizer, [], (), special=True)
    found = []
    for token in tokens:
        found.append(detokenizer.length)
        detokenizer.add(token)
    detokenizer.finish()
    return detokenizer.text, found


def _begun(text: str, stop: str) -> int:
    r"""How much of a stop string the end of a text may be.

    >>> _begun("a = 1\\n", "\\n\\n")
    1
    """
    return next((size for size in range(min(len(text), len(stop) - 1), 0, -1) if text.endswith(stop[:size])), 0)
