"""How a conversation becomes the tokens of a prompt: by the model's own chat template, for training and for serving.

Both use the functions here, so that a model is trained on the very tokens that it will be asked with. A template is
compiled once, in transformers' own sandbox; what it renders equals `apply_chat_template`
(https://huggingface.co/docs/transformers/main/en/chat_templating).
"""

from collections.abc import Callable, Iterable, Mapping, Sequence
from datetime import datetime
from types import MappingProxyType
from typing import Any, NewType

from jinja2 import TemplateError, meta, nodes
from transformers import PreTrainedTokenizerBase

from runtime.model import private
from state.errors import ServiceError

Tools = Sequence[Mapping[str, Any]]
Turns = NewType("Turns", list[dict[str, Any]])
"""The messages of a conversation as templates see them, made by `turns`."""

NO_SWITCHES: Mapping[str, bool] = MappingProxyType({})
SWITCHES = ("enable_thinking", "thinking")
"""The variables by which templates are told whether the model is to think before it answers."""
REASONING = ("reasoning_content", "thinking", "reasoning")
"""What templates call a message's thoughts; the first name is the usual one."""
DEFAULT_CHAT_TEMPLATE = (
    "{% for message in messages %}"
    "{{ message.role | capitalize }}: {{ message.content }}"
    "{% if message.role == 'assistant' %}{{ eos_token }}{% endif %}"
    "{{ '\\n\\n' }}"
    "{% endfor %}"
    "{% if add_generation_prompt %}Assistant:{% endif %}"
)


class TemplateRaised(ServiceError):
    """A chat template is a program, and this one does not take these messages. `said` is why, in its own words."""

    def __init__(self, said: str) -> None:
        super().__init__(f"The chat template does not take these messages: {said}")
        self.said = said


class ChatTemplate:
    """A chat template, compiled. Without a `source` it is the tokenizer's own, or a default for models without one.

    `now` is the clock of templates that write a date: a job's is frozen, or a resumed run would train on another text.
    Raises ServiceError for a source that is no template.
    """

    def __init__(
        self,
        tokenizer: PreTrainedTokenizerBase,
        source: str | None = None,
        now: Callable[[], datetime] = datetime.now,
    ) -> None:
        own = _own(tokenizer)
        self.source = source or own or default_template(tokenizer)
        self.is_models_own = self.source == own
        try:
            self._compiled = private.compiled_chat_template(self.source)
        except TemplateError as error:
            raise ServiceError(f"The chat template is no valid template: {error}") from error
        # each rendering copies these: as a plain dict they cost a row of two answers 20 to 30 us less
        self._compiled.globals = dict(self._compiled.globals)
        tree = self._compiled.environment.parse(self.source)
        variables = meta.find_undeclared_variables(tree)
        self.switches = tuple(name for name in SWITCHES if name in variables)
        """The thinking switches that this template has."""
        self.writes_tools = "tools" in variables
        keys = _keys(tree)
        self.reads_tools_of_messages = "tools" in keys and not self.writes_tools
        """Whether a message may have tools of its own, and nothing else has."""
        self.writes_tool_calls = "tool_calls" in keys
        self.writes_reasoning = not keys.isdisjoint(REASONING)
        self.writes_date = any(name.name == "strftime_now" for name in tree.find_all(nodes.Name))
        self._special_tokens = tokenizer.special_tokens_map
        self._now = now

    def render(
        self,
        messages: Turns,
        tools: Tools | None = None,
        *,
        add_generation_prompt: bool,
        switches: Mapping[str, bool] = NO_SWITCHES,
    ) -> str:
        """The conversation as text, special tokens included. Raises TemplateRaised."""
        if not messages:
            raise TemplateRaised("there is no message")
        try:
            return str(
                self._compiled.render(
                    {
                        **self._special_tokens,
                        **switches,
                        "messages": messages,
                        "tools": tools,
                        "documents": None,
                        "add_generation_prompt": add_generation_prompt,
                        "strftime_now": self._strftime_now,
                    }
                )
            )
        except Exception as error:  # it raises what it likes, a TypeError for one
            raise TemplateRaised(_said(error)) from error

    def _strftime_now(self, form: str) -> str:
        return self._now().strftime(form)


def turns(messages: Iterable[Mapping[str, Any]]) -> Turns:
    """Messages as `apply_chat_template` shows them to a template: no nulls, and thoughts under all of their names."""
    return Turns([_turn(message) for message in messages])


def _turn(message: Mapping[str, Any]) -> dict[str, Any]:
    given = {name: value for name, value in message.items() if value is not None}
    reasoning = next((given[name] for name in REASONING if name in given), None)
    return given if reasoning is None else {"thinking": reasoning, **given, "reasoning_content": reasoning}


def prompt_tokens(
    tokenizer: PreTrainedTokenizerBase,
    template: ChatTemplate,
    messages: Iterable[Mapping[str, Any]],
    tools: Tools | None = None,
    switches: Mapping[str, bool] = NO_SWITCHES,
) -> list[int]:
    """The prompt to which the model answers as the assistant. Raises TemplateRaised."""
    text = template.render(turns(messages), tools, add_generation_prompt=True, switches=switches)
    return encode_rendered(tokenizer, [text])[0]


def encode_rendered(tokenizer: PreTrainedTokenizerBase, texts: Sequence[str]) -> list[list[int]]:
    """The tokens of rendered texts: the template wrote the special ones, so that none is added.

    Equal to the tokenizer's own call, in half its time for many texts.
    """
    if not texts:
        return []
    own = [list(ids) for ids in tokenizer(list(texts[:1]), add_special_tokens=False, verbose=False)["input_ids"]]
    if not tokenizer.is_fast:
        return own + [list(tokenizer(text, add_special_tokens=False)["input_ids"]) for text in texts[1:]]
    # The call above has left the backend as it was for itself: without truncation, without padding.
    rest = tokenizer.backend_tokenizer.encode_batch_fast(list(texts[1:]), add_special_tokens=False)
    return own + [encoding.ids for encoding in rest]


def encode_texts(tokenizer: PreTrainedTokenizerBase, texts: Sequence[str]) -> list[list[int]]:
    """The tokens of texts that no template has written, with those that the tokenizer adds by default."""
    return [list(ids) for ids in tokenizer(list(texts), verbose=False)["input_ids"]] if texts else []


def stop_ids(tokenizer: PreTrainedTokenizerBase, stop_tokens: Iterable[str]) -> list[int]:
    """The tokens that end an adapter's answers, as its record names them.

    Raises ServiceError for one that the tokenizer does not have: it would become the unknown token, which would end
    answers anywhere, or nothing would end them.
    """
    ids: dict[str, Any] = {token: tokenizer.convert_tokens_to_ids(token) for token in stop_tokens}
    foreign = next((token for token, id_ in ids.items() if tokenizer.convert_ids_to_tokens(id_ or 0) != token), None)
    if foreign is not None:
        raise ServiceError(f"The adapter's stop token {foreign!r} (chat in its adapter.json) is none of the model's")
    return list(ids.values())


def default_template(tokenizer: PreTrainedTokenizerBase) -> str:
    """For a model without a template: `User: …` and `Assistant: …`, as most base models have seen dialogues.

    It begins as the tokenizer begins any text, and each answer ends with the end token.
    """
    begin = tokenizer.bos_token_id
    begins = begin is not None and tokenizer("x")["input_ids"][:1] == [begin]
    return ("{{ bos_token }}" if begins else "") + DEFAULT_CHAT_TEMPLATE


def _own(tokenizer: PreTrainedTokenizerBase) -> str | None:
    own: str | dict[str, str] | None = tokenizer.chat_template
    return own.get("default") if isinstance(own, dict) else own


def _keys(tree: nodes.Template) -> set[str]:
    """What a template may read of a message: names behind a dot, and its constants."""
    names = {node.attr for node in tree.find_all(nodes.Getattr)}
    return names | {node.value for node in tree.find_all(nodes.Const) if isinstance(node.value, str)}


def _said(error: Exception) -> str:
    return str(error) if isinstance(error, TemplateError) else f"{type(error).__name__}: {error}"
