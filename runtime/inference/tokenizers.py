"""Answers to questions of a tokenizer: of the base in memory, else of one that is loaded without its model."""

from collections.abc import Callable

from transformers import PreTrainedTokenizerBase

from runtime.messages.inference import (
    DescribeTokenizer,
    Detokenize,
    Detokenized,
    Tokenize,
    Tokenized,
    TokenizerAnswer,
    TokenizerDescription,
    TokenizerQuestion,
)
from runtime.model.chat import ChatTemplate
from runtime.model.prompts import Prompts
from runtime.model.text import decoded
from runtime.model.tokenizers import load_tokenizer
from state.errors import ServiceError

MAX_KEPT = 4  # tokenizers without their models; each takes some 10 to 100 MB


class Tokenizers:
    """The tokenizers that are loaded."""

    def __init__(self, in_memory: Callable[[str], PreTrainedTokenizerBase | None]) -> None:
        """`in_memory` has the tokenizer of a source whose base is there."""
        self._in_memory = in_memory
        self._alone: dict[str, PreTrainedTokenizerBase] = {}
        """By source; the least recently used one first."""

    def answer(self, question: TokenizerQuestion) -> TokenizerAnswer:
        """Raises ServiceError."""
        tokenizer = self._tokenizer(question.source)
        match question:
            case Tokenize():
                tokens = _tokens(tokenizer, question)
                return Tokenized(tokens, [str(tokenizer.convert_ids_to_tokens(token)) for token in tokens])
            case Detokenize(tokens=tokens):
                unknown = next((token for token in tokens if not 0 <= token < len(tokenizer)), None)
                if unknown is not None:
                    raise ServiceError(
                        f"tokens holds one that the tokenizer does not have, {unknown}: its tokens are 0 to "
                        f"{len(tokenizer) - 1}"
                    )
                return Detokenized(decoded(tokenizer, tokens, special=True))
            case DescribeTokenizer(chat=chat):
                return TokenizerDescription(
                    tokenizer_class=type(tokenizer).__name__,
                    vocab_size=len(tokenizer),
                    bos_token=tokenizer.bos_token,
                    eos_token=tokenizer.eos_token,
                    pad_token=tokenizer.pad_token,
                    unk_token=tokenizer.unk_token,
                    chat_template=ChatTemplate(tokenizer, chat.template).source,
                )

    def _tokenizer(self, source: str) -> PreTrainedTokenizerBase:
        if (here := self._in_memory(source)) is not None:
            return here
        tokenizer = self._alone.pop(source, None) or load_tokenizer(source)
        self._alone[source] = tokenizer
        while len(self._alone) > MAX_KEPT:
            del self._alone[next(iter(self._alone))]
        return tokenizer


def _tokens(tokenizer: PreTrainedTokenizerBase, question: Tokenize) -> list[int]:
    if isinstance(question.prompt, str):
        return list(tokenizer(question.prompt, add_special_tokens=question.add_special_tokens)["input_ids"])
    return Prompts(tokenizer, len(tokenizer)).tokens(list(question.prompt), question.chat)
