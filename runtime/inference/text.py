"""Text from tokens and tokens from text, as both go over the wire bit by bit."""

from collections.abc import Sequence

from jinja2 import TemplateError
from transformers import PreTrainedTokenizerBase

from runtime.messages.inference import Message
from state.errors import ServiceError

CONTEXT = 6  # tokens decoded before new ones: some tokenizers drop the space that begins a text
UNFINISHED = "\ufffd"  # what a tokenizer shows for a character's first bytes
DEFAULT_CHAT_TEMPLATE = (
    "{% for message in messages %}{{ message.role | capitalize }}: {{ message.content }}\n\n{% endfor %}Assistant:"
)


def prompt_tokens(tokenizer: PreTrainedTokenizerBase, prompt: str | list[int | Message], vocabulary: int) -> list[int]:
    """A prompt as the tokenizer makes it by default, special tokens included; a conversation by its chat template.

    A model without a template gets DEFAULT_CHAT_TEMPLATE. `vocabulary` is the number of tokens that the model has an
    embedding for. Raises ServiceError for an empty prompt, a token that the model has not, and for a conversation that
    the template does not take.
    """
    if isinstance(prompt, str):
        tokens: list[int] = tokenizer(prompt)["input_ids"] if prompt else []
    elif prompt and isinstance(prompt[0], Message):
        tokens = _conversation(tokenizer, [turn for turn in prompt if isinstance(turn, Message)])
    else:
        tokens = [token for token in prompt if isinstance(token, int)]
    if not tokens:
        raise ServiceError("prompt must not be empty")
    if not all(0 <= token < vocabulary for token in tokens):
        raise ServiceError(f"prompt holds a token that the model does not have: it has {vocabulary}")
    return tokens


def _conversation(tokenizer: PreTrainedTokenizerBase, turns: Sequence[Message]) -> list[int]:
    messages = [{"role": turn.role, "content": turn.content} for turn in turns]
    template = tokenizer.chat_template or DEFAULT_CHAT_TEMPLATE
    try:
        text = tokenizer.apply_chat_template(
            messages, chat_template=template, add_generation_prompt=True, tokenize=False
        )
    except Exception as error:  # a template is a program: it raises what it likes, a TypeError for one
        raise ServiceError(f"The model's chat template does not take these messages: {_said(error)}") from error
    tokens: list[int] = tokenizer(text, add_special_tokens=False)["input_ids"]  # the template wrote the special ones
    return tokens


def _said(error: Exception) -> str:
    return str(error) if isinstance(error, TemplateError) else f"{type(error).__name__}: {error}"


class Detokenizer:
    """The text of one completion, token by token. A stop string ends it, and is not part of it."""

    def __init__(self, tokenizer: PreTrainedTokenizerBase, prompt: Sequence[int], stop: Sequence[str]) -> None:
        self._tokenizer = tokenizer
        self._tokens = list(prompt[-CONTEXT:])
        self._begin, self._end = 0, len(self._tokens)  # the text of the tokens before _end has been given out
        self._stop = stop
        self._held = ""
        self.text = ""
        self.is_stopped = False

    def add(self, token: int) -> str:
        """Returns the text that is certain by now: not what may be the beginning of a stop string or of a character."""
        self._tokens.append(token)
        return self._release(self._new_text(), is_last=False)

    def finish(self) -> str:
        """Returns the text that was held back."""
        return self._release(self._new_text(is_last=True), is_last=True)

    def _new_text(self, *, is_last: bool = False) -> str:
        before = self._decoded(self._tokens[self._begin : self._end])
        whole = self._decoded(self._tokens[self._begin :])
        if len(whole) <= len(before) or (whole.endswith(UNFINISHED) and not is_last):
            return ""
        self._begin, self._end = self._end, len(self._tokens)
        return whole[len(before) :]

    def _release(self, new: str, *, is_last: bool) -> str:
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

    def _decoded(self, tokens: Sequence[int]) -> str:
        return decoded(self._tokenizer, tokens)


def decoded(tokenizer: PreTrainedTokenizerBase, tokens: Sequence[int]) -> str:
    return str(tokenizer.decode(list(tokens), skip_special_tokens=True, clean_up_tokenization_spaces=False))


def _begun(text: str, stop: str) -> int:
    r"""How much of a stop string the end of a text may be.

    >>> _begun("a = 1\\n", "\\n\\n")
    1
    """
    return next((size for size in range(min(len(text), len(stop) - 1), 0, -1) if text.endswith(stop[:size])), 0)
