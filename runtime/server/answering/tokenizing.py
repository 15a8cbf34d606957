"""Tokens of texts and texts of tokens, as the model that is named has them.

The inference worker answers. It loads the tokenizer alone where its model is not in memory.
"""

from functools import partial

from runtime.messages.inference import (
    DescribeTokenizer,
    Detokenize,
    Detokenized,
    Message,
    Tokenize,
    Tokenized,
    TokenizerDescription,
)
from runtime.server.answering.serving import Answering, Serving
from runtime.server.answering.worker import PLAIN, Worker
from state import models
from state.adapters import ChatSettings
from state.errors import BrokenFile, ServiceError
from state.root import DataRoot


class Tokenizing:
    """Asks for the tokenizers of one data root's models."""

    def __init__(self, root: DataRoot, serving: Serving, worker: Worker) -> None:
        self._root = root
        self._serving = serving
        self._worker = worker

    def whose(self, name: str | None) -> Answering:
        """The adapter or base whose tokenizer is meant. Raises NotFound, and ServiceError where that is not clear.

        vLLM's clients name none, since vLLM has one. Without a name it is the loaded adapter's, else that of the only
        base model that is here: another model's tokenizer would be wrong without anybody seeing it.
        """
        if name is not None or self._serving.current_name is not None:
            return self._serving.answering(name)
        here = [model.name for model in models.available(self._root).models if model.folder is not None]
        if len(here) != 1:
            raise ServiceError(
                f"No adapter currently loaded, and there are {len(here)} base models: name the model whose tokenizer "
                "is meant, or load an adapter with POST /api/adapters/<adapter_name>/load"
            )
        return self._serving.base(here[0])

    async def tokenize(
        self, answering: Answering, prompt: str | list[Message], *, add_special_tokens: bool
    ) -> Tokenized:
        """Raises ServiceError, ProcessDied."""
        question = partial(
            Tokenize,
            source=self._source(answering),
            prompt=prompt,
            add_special_tokens=add_special_tokens,
            chat=_chat(answering),
        )
        return await self._worker.ask_tokenizer(question, Tokenized)

    async def detokenize(self, answering: Answering, tokens: list[int]) -> str:
        """Raises ServiceError, ProcessDied."""
        question = partial(Detokenize, source=self._source(answering), tokens=tokens)
        return (await self._worker.ask_tokenizer(question, Detokenized)).text

    async def describe(self, answering: Answering) -> TokenizerDescription:
        """Raises ServiceError, ProcessDied."""
        question = partial(DescribeTokenizer, source=self._source(answering), chat=_chat(answering))
        return await self._worker.ask_tokenizer(question, TokenizerDescription)

    def context_length(self, answering: Answering) -> int | None:
        """Of its base, as far as that says. Raises ServiceError."""
        folder = models.find(self._root, answering.model_name).folder
        try:
            return models.context_length(models.config(folder)) if folder is not None else None
        except (BrokenFile, FileNotFoundError):
            return None

    def _source(self, answering: Answering) -> str:
        return models.find(self._root, answering.model_name).load_from


def _chat(answering: Answering) -> ChatSettings:
    return PLAIN if answering.adapter is None else answering.adapter.chat
