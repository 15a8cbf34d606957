"""A tokenizer's special tokens, as they can be found in a text."""

import re
from collections.abc import Iterable
from itertools import pairwise

from transformers import PreTrainedTokenizerBase


class Tree(dict[str, "Tree"]):
    """Words by their characters; the key "" is the end of a word."""


PROBES = ("x", " x", "\n", "\n\nx", "  \n", "é", "1")


class Vocabulary:
    """`served` are the tokens at which serving ends an answer."""

    def __init__(self, tokenizer: PreTrainedTokenizerBase, served: frozenset[int]) -> None:
        self.end: int | None = tokenizer.eos_token_id
        self.served = served
        added = {token.content: (id_, token.special) for id_, token in tokenizer.added_tokens_decoder.items()}
        self._begin = tokenizer.bos_token_id
        self._ids = {text: id_ for text, (id_, special) in added.items() if special or id_ in served or id_ == self.end}
        self._texts = {id_: text for text, id_ in self._ids.items()}
        self.special = any_of(self._ids)
        self._special_backwards = any_of(text[::-1] for text in self._ids)
        self._longest = max(map(len, self._ids), default=0)
        self.stop = any_of(text for text, id_ in self._ids.items() if id_ in served)
        self._tokenizer = tokenizer
        self._cuts: dict[str, bool] = {}

    def id(self, match: re.Match[str]) -> int:
        """The token that a match of `special` or `stop` is."""
        return self._ids[match[0]]

    def text(self, token: int) -> str:
        """The text of a special token or of one that ends answers; empty for one that no text becomes."""
        return self._texts.get(token, "")

    @property
    def end_text(self) -> str:
        return "" if self.end is None else self.text(self.end)

    def begins_twice(self, tokens: list[int]) -> bool:
        """Whether a template and a tokenizer have both written the first token."""
        return self._begin is not None and tokens[:2] == [self._begin, self._begin]

    def tail(self, text: str) -> int:
        """Where the special tokens and blanks at the end of a text begin."""
        at = len(text.rstrip())
        while token := self._special_backwards.match(text[max(at - self._longest, 0) : at][::-1]):
            at = len(text[: at - token.end()].rstrip())
        return at

    def segments(self, text: str) -> list[str]:
        """A text in parts whose tokens, one after another, are the text's: each begins with a special token."""
        found = self.special.finditer(text)  # from the left and the longest, as tokenizers search
        cuts = [0, *(token.start() for token in found if token.start() and self.cuts(token[0])), len(text)]
        return [text[begin:end] for begin, end in pairwise(cuts)]

    def cuts(self, token: str) -> bool:
        """Whether a text can be divided before a special token, and its parts be tokenized by themselves.

        It is so with tokenizers that take special tokens out of a text before anything else, which is how all of
        Hugging Face's work; settings of the token itself can change it. Tried once for each token.
        """
        if token not in self._cuts:
            self._cuts[token] = all(self._is_cut(token, before, behind) for before in PROBES for behind in PROBES)
        return self._cuts[token]

    def _is_cut(self, token: str, before: str, behind: str) -> bool:
        whole, first, rest = (self._encode(text) for text in (before + token + behind, before, token + behind))
        return rest[:1] == [self._ids[token]] and whole == [*first, *rest]

    def _encode(self, text: str) -> list[int]:
        return list(self._tokenizer(text, add_special_tokens=False)["input_ids"])


def any_of(words: Iterable[str]) -> re.Pattern[str]:
    """A pattern that finds the longest of some words; of thousands as fast as of one, which alternatives are not.

    >>> any_of(["<a", "<ab>", "["]).findall("<ab> <ac [")
    ['<ab>', '<a', '[']
    """
    tree = Tree()
    for word in words:
        node = tree
        for character in word:
            node = node.setdefault(character, Tree())
        node[""] = Tree()
    return re.compile(_pattern(tree) if tree else "(?!)")


def _pattern(node: Tree) -> str:
    branches = [re.escape(character) + _pattern(rest) for character, rest in node.items() if character]
    if not branches:
        return ""
    alternatives = branches[0] if len(branches) == 1 else "(?:" + "|".join(branches) + ")"
    return f"(?:{alternatives})?" if "" in node else alternatives
