"""What the server and the inference worker say to each other: JSON, one message per line, over a socket pair.

Every request names its base and its adapter, so that a fresh worker needs no memory of the one before it.
"""

from typing import Any, Literal

import msgspec
from msgspec import Struct

from state.adapters import ChatSettings


class AdapterFiles(Struct, frozen=True):
    """An adapter's folder. A new fingerprint means a new adapter, even at the same path."""

    path: str
    fingerprint: str


class Call(Struct, frozen=True):
    """A model's call of a tool. `arguments` are JSON, as far as the model wrote them whole."""

    id: str
    name: str
    arguments: str


class Message(Struct, frozen=True, omit_defaults=True):
    """One turn of a conversation, for the model's own chat template."""

    role: str
    content: str | None = None
    """None only beside calls."""
    tool_calls: tuple[Call, ...] = ()
    tool_call_id: str | None = None
    """Which call a tool's turn answers."""
    name: str | None = None


class Tool(Struct, frozen=True):
    """A function that a model may call. Without `parameters` it takes none."""

    name: str
    description: str | None = None
    parameters: dict[str, Any] | None = None
    strict: bool = False
    """Whether calls are held to the parameters in any case."""


class ToolUse(Struct, frozen=True):
    """The tools of a conversation, and how they are to be called."""

    tools: list[Tool]
    must_call: bool = False
    """The answer is a call, and its arguments are held to the parameters."""
    only: str | None = None
    """The one tool that may be called."""
    parallel: bool = True
    """Whether one answer may have several calls."""


class Asked(Struct, frozen=True, kw_only=True, omit_defaults=True):
    """What all requests have."""

    id: int
    request: str | None = None
    """The id of the HTTP request that it is made for, as the server's log has it."""

    @property
    def named(self) -> str:
        """For the log."""
        return f"Request {self.id}" if self.request is None else f"Request {self.id} [{self.request}]"


class Load(Asked, frozen=True, tag=True, kw_only=True):
    """Load a base and an adapter. `source` is what transformers loads: a folder's path or a hub id."""

    source: str
    adapter: AdapterFiles
    leave_mb: int = 0
    """What is to be left of the memory that is free, for jobs that train beside; in 2^20 bytes."""


class Unload(Asked, frozen=True, tag=True, kw_only=True):
    """Unload all adapters, or the one of a folder, and keep the base."""

    path: str | None = None


class SamplingParameters(Struct, frozen=True, kw_only=True):
    """How a completion's tokens are chosen, where it ends, and what is told of it.

    `temperature` 0 takes the most likely token each time. Without `max_new_tokens` the model's context ends it.
    """

    max_new_tokens: int | None = None
    temperature: float = 0.0
    top_p: float = 1.0
    top_k: int = 0
    """Choose among so many of the most likely tokens; among all of them where it is 0 or less."""
    min_p: float = 0.0
    """Choose among tokens that are at least so likely, as a share of the most likely one's probability."""
    seed: int | None = None
    stop: tuple[str, ...] = ()
    presence_penalty: float = 0.0
    frequency_penalty: float = 0.0
    repetition_penalty: float = 1.0
    """Divides the positive logits of tokens that the prompt or the completion has, and multiplies their negative."""
    logit_bias: dict[int, float] = {}
    """Added to the logits of these tokens."""
    json_schema: str | None = None
    """In JSON: the completion is held to it."""
    tools: ToolUse | None = None
    """What may be called; for a conversation, as its template tells the model of tools."""
    top_logprobs: int | None = None
    """Return the log probability of each token, and of so many of the most likely tokens in its place."""
    echo: bool = False
    """Say the prompt before the completion, with the log probabilities of its tokens where there are any."""


class Generate(Asked, frozen=True, tag=True, kw_only=True):
    """Complete a prompt: a text, tokens, or a conversation; without an adapter it is the bare base that answers."""

    source: str
    adapter: AdapterFiles | None
    prompt: str | list[int | Message]
    sampling: SamplingParameters
    chat: ChatSettings = ChatSettings()
    """How the adapter is asked; for a text and for tokens, too, its stop tokens."""
    stream: bool = False
    """Answer with TextDeltas as they come, before Done."""
    leave_mb: int = 0
    """As in Load."""


class Tokenize(Asked, frozen=True, tag=True, kw_only=True):
    """The tokens of a text, or of a conversation in its chat template."""

    source: str
    prompt: str | list[Message]
    add_special_tokens: bool = True
    """Whether a text has what the tokenizer adds by default; a template writes its own."""
    chat: ChatSettings = ChatSettings()


class Detokenize(Asked, frozen=True, tag=True, kw_only=True):
    """The text of tokens, special ones as they are written."""

    source: str
    tokens: list[int]


class DescribeTokenizer(Asked, frozen=True, tag=True, kw_only=True):
    source: str
    chat: ChatSettings = ChatSettings()


TokenizerQuestion = Tokenize | Detokenize | DescribeTokenizer
"""They need no model in memory: a tokenizer is loaded alone where its base is not."""


class Cancel(Struct, frozen=True, tag=True):
    """Nobody waits for the answer to request `id` any more."""

    id: int


Request = Load | Unload | Generate | TokenizerQuestion


class Alternative(Struct, frozen=True):
    """A token that might have been chosen, as text, and its log probability."""

    token: str
    logprob: float


class TokenLogprob(Struct, frozen=True):
    """A token that was chosen, or that a prompt has, and the most likely ones in its place."""

    token: str
    logprob: float
    top: list[Alternative]
    begin: int = 0
    """Where its text begins in the completion's, behind the prompt's where that is said."""


class Echo(Struct, frozen=True):
    """A prompt, said again before its completion."""

    text: str
    first: str | None = None
    """Its first token, before which there is nothing to tell how likely it was; None without log probabilities."""
    logprobs: list[TokenLogprob] = []
    """Of the tokens behind the first."""


class CallPiece(Struct, frozen=True):
    """The next of a call's arguments; its first piece says what is called."""

    index: int
    arguments: str
    id: str | None = None
    name: str | None = None


class Generated(Struct, frozen=True):
    """A completion, without its prompt and without the stop string that ended it.

    `finish_reason` is "length" when `max_new_tokens` ended it. `completion_tokens` counts every token computed, the
    end-of-text token and the stop string's included.
    """

    text: str
    prompt_tokens: int
    completion_tokens: int
    finish_reason: Literal["stop", "length"]
    logprobs: list[TokenLogprob] | None = None
    """An entry for each token of the text; where the prompt is said, for each token computed."""
    echo: Echo | None = None
    calls: list[Call] = []


class Tokenized(Struct, frozen=True, tag=True):
    tokens: list[int]
    names: list[str]
    """The tokens as the vocabulary writes them."""


class Detokenized(Struct, frozen=True, tag=True):
    text: str


class TokenizerDescription(Struct, frozen=True, tag=True, kw_only=True):
    """`chat_template` is the one that conversations are asked in."""

    tokenizer_class: str
    vocab_size: int
    bos_token: str | None
    eos_token: str | None
    pad_token: str | None
    unk_token: str | None
    chat_template: str


TokenizerAnswer = Tokenized | Detokenized | TokenizerDescription


class TextDelta(Struct, frozen=True, tag=True):
    """The next piece of a completion's text; `text` is empty while more tokens are needed for a character."""

    id: int
    text: str
    logprobs: list[TokenLogprob] | None = None
    echo: Echo | None = None
    """With the first piece."""
    calls: list[CallPiece] = []


class Done(Struct, frozen=True, tag=True):
    """The answer to Load and Unload, with a completion to Generate, and with what was asked of a tokenizer."""

    id: int
    generated: Generated | None = None
    told: TokenizerAnswer | None = None


class Refused(Struct, frozen=True, tag=True):
    """Why, in a sentence: the request itself, an adapter or a base that cannot be loaded, or no memory for the base."""

    id: int
    message: str


class LastWords(Struct, frozen=True, tag=True):
    """The worker ends because of an unexpected error; its log has the traceback."""

    message: str


Reply = TextDelta | Done | Refused | LastWords


def line(message: Request | Cancel | Reply) -> bytes:
    return msgspec.json.encode(message) + b"\n"


decode_request = msgspec.json.Decoder(Load | Unload | Generate | TokenizerQuestion | Cancel).decode
decode_reply = msgspec.json.Decoder(TextDelta | Done | Refused | LastWords).decode
