"""Answers that say next to nothing."""

from transformers import PreTrainedTokenizerBase

from runtime.model.text import decoded
from runtime.trainer.masks.results import Masked


class ShortAnswers:
    """Finds learned spans that are blank, or have fewer than two tokens beside the one that ends them."""

    def __init__(self, tokenizer: PreTrainedTokenizerBase, served: frozenset[int]) -> None:
        self._tokenizer = tokenizer
        self._ends = served | ({tokenizer.eos_token_id} - {None})
        self._blanks: dict[int, bool] = {}

    def first(self, masked: Masked) -> str | None:
        """The text of a row's first such answer; None where there is none."""
        ends = self._ends | masked.stop_tokens
        for document in masked.sequences:
            for begin, end in document.spans:
                said = end - 1 if document.tokens[end - 1] in ends else end
                if said - begin < 2 or all(map(self._is_blank, document.tokens[begin:said])):
                    return decoded(self._tokenizer, document.tokens[begin:said], special=True)
        return None

    def _is_blank(self, token: int) -> bool:
        if token not in self._blanks:
            self._blanks[token] = not decoded(self._tokenizer, [token], special=True).strip()
        return self._blanks[token]
