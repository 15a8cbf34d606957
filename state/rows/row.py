"""What one training row is: Text, PromptCompletion, Chat or Preference, and its one canonical form in JSON.

The canonical form is what a job's data/train.jsonl holds, one row a line. It is itself one of the formats that
`formats` reads, and reading it gives the same row again.
"""

from hashlib import blake2b
from typing import Literal

import msgspec
from msgspec import Struct


class Function(Struct, frozen=True):
    name: str
    arguments: dict[str, object]
    """Parsed, whatever the file held: templates that write JSON would quote a string a second time."""


class ToolCall(Struct, frozen=True, omit_defaults=True):
    type: Literal["function"]
    function: Function
    id: str | None = None


class Message(Struct, frozen=True, omit_defaults=True, gc=False):
    """One turn. Fields that a file leaves out, or fills with null, are absent from the canonical form, too."""

    role: Literal["system", "user", "assistant", "tool"]
    content: str | None = None
    """None only beside tool calls."""
    reasoning_content: str | None = None
    tool_calls: tuple[ToolCall, ...] = ()
    tool_call_id: str | None = None
    name: str | None = None
    weight: Literal[0, 1] = 1
    """0 for an assistant's turn that is read and not learned."""


Messages = tuple[Message, ...]
Tools = tuple[dict[str, object], ...]


class Text(Struct, frozen=True, gc=False):
    """A text as it is; all of it is learned."""

    text: str


class PromptCompletion(Struct, frozen=True, omit_defaults=True, gc=False):
    """A prompt that is read and a completion that is learned: both strings, or both messages."""

    prompt: str | Messages
    completion: str | Messages
    tools: Tools = ()


class Chat(Struct, frozen=True, omit_defaults=True, gc=False):
    """A conversation whose assistant's turns are learned."""

    messages: Messages
    tools: Tools = ()


class Preference(Struct, frozen=True, omit_defaults=True, gc=False):
    """A prompt with a better and a worse answer: all strings, or all messages."""

    prompt: str | Messages
    chosen: str | Messages
    rejected: str | Messages
    tools: Tools = ()


Row = Text | PromptCompletion | Chat | Preference

_BY_KEY: tuple[tuple[str, type[Row]], ...] = (
    ("text", Text),
    ("messages", Chat),
    ("completion", PromptCompletion),
    ("chosen", Preference),
)
_encoder = msgspec.json.Encoder()
_sorting_encoder = msgspec.json.Encoder(order="deterministic")  # the order of an argument's keys makes no other row


def encode(row: Row) -> bytes:
    """The canonical form, without a line end."""
    return _encoder.encode(row)


def decode(line: bytes) -> Row:
    """The row of a canonical form. Raises msgspec.DecodeError for anything else; people's files go to `reading`."""
    fields = msgspec.json.decode(line, type=dict[str, object])
    for key, kind in _BY_KEY:
        if key in fields:
            return msgspec.convert(fields, kind)
    raise msgspec.ValidationError("the object is no row in its canonical form")


def is_conversation(row: Row) -> bool:
    """Whether it is messages, of which a chat template makes the prompts."""
    return isinstance(row, Chat) or not (isinstance(row, Text) or isinstance(row.prompt, str))


def digest(row: Row) -> bytes:
    """8 bytes that are equal for equal rows."""
    return _digest_of(row)


def prompt_digest(row: Row) -> bytes | None:
    """8 bytes that are equal for rows that ask the same; None for a row that asks nothing, such as a text."""
    prompt = _prompt_of(row)
    return _digest_of(prompt) if prompt else None


def _prompt_of(row: Row) -> str | Messages:
    match row:
        case Text():
            return ""
        case Chat(messages=messages):
            return messages[: _last_answer(messages)]
        case _:
            return row.prompt


def _last_answer(messages: Messages) -> int:
    """The index of the last assistant's turn: what comes before it is what it answers."""
    return max((index for index, message in enumerate(messages) if message.role == "assistant"), default=0)


def _digest_of(value: object) -> bytes:
    return blake2b(_sorting_encoder.encode(value), digest_size=8).digest()
