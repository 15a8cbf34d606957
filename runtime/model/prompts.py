"""A request's or a sample's prompt as tokens: a conversation by the chat template that training takes, too."""

from collections.abc import Callable, Sequence
from datetime import datetime
from typing import Any

from msgspec import to_builtins
from transformers import PreTrainedModel, PreTrainedTokenizerBase

from runtime.messages.inference import Message, Tool
from runtime.model import chat, tool_turns
from runtime.model.chat import ChatTemplate
from state.adapters import ChatSettings
from state.errors import ServiceError


class Prompts:
    """One base's prompts. Its adapters may have templates of their own."""

    def __init__(
        self, tokenizer: PreTrainedTokenizerBase, vocabulary: int, now: Callable[[], datetime] = datetime.now
    ) -> None:
        """`vocabulary` is the number of tokens that the model has an embedding for; `now` is the templates' clock."""
        self._tokenizer = tokenizer
        self._vocabulary = vocabulary
        self._now = now
        self._templates: dict[str | None, ChatTemplate] = {}

    def tokens(
        self, prompt: str | list[int | Message], settings: ChatSettings, tools: Sequence[Tool] = ()
    ) -> list[int]:
        """A text as the tokenizer makes it by default, special tokens included; a conversation by its template.

        Raises ServiceError for an empty prompt, a token that the model has not, and for a conversation that the
        template does not take.
        """
        if isinstance(prompt, str):
            tokens: list[int] = self._tokenizer(prompt)["input_ids"] if prompt else []
        elif prompt and isinstance(prompt[0], Message):
            messages = [turn for turn in prompt if isinstance(turn, Message)]
            tokens = self._of_conversation(messages, settings, tools)
        else:
            tokens = [token for token in prompt if isinstance(token, int)]
        if not tokens:
            raise ServiceError("prompt must not be empty")
        unknown = next((token for token in tokens if not 0 <= token < self._vocabulary), None)
        if unknown is not None:
            raise ServiceError(
                f"prompt holds a token that the model does not have, {unknown}: its tokens are 0 to "
                f"{self._vocabulary - 1}"
            )
        return tokens

    def _of_conversation(self, messages: Sequence[Message], settings: ChatSettings, tools: Sequence[Tool]) -> list[int]:
        template = self.template(settings)
        if tools or any(turn.role == "tool" or turn.tool_calls for turn in messages):
            text = tool_turns.prompt(template, messages, tools, settings.switches)
            return chat.encode_rendered(self._tokenizer, [text])[0]
        plain = [to_builtins(turn) for turn in messages]
        return chat.prompt_tokens(self._tokenizer, template, plain, switches=settings.switches)

    def template(self, settings: ChatSettings) -> ChatTemplate:
        """The adapter's own, or the model's. Raises ServiceError."""
        source = settings.template
        if source not in self._templates:
            self._templates[source] = ChatTemplate(self._tokenizer, source, self._now)
        return self._templates[source]


def vocabulary(model: PreTrainedModel, tokenizer: PreTrainedTokenizerBase) -> int:
    """How many tokens can be a prompt's: a tokenizer may have more than the model has an embedding for."""
    embedding: Any = model.get_input_embeddings()
    return min(len(tokenizer), int(embedding.weight.shape[0]))
