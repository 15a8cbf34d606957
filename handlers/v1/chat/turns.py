"""The turns of a conversation, in OpenAI's protocol."""

from typing import Annotated, Literal

import msgspec
from msgspec import Meta, Struct

from runtime.messages.inference import Call, Message
from state.errors import ServiceError


class TextPart(Struct, forbid_unknown_fields=True):
    type: Literal["text"]
    text: str


class CalledFunction(Struct, forbid_unknown_fields=True):
    name: Annotated[str, Meta(min_length=1)]
    arguments: str
    """A JSON object."""


class TurnsCall(Struct, forbid_unknown_fields=True):
    id: str
    function: CalledFunction
    type: Literal["function"] = "function"
    index: int | None = None
    """As streams have it; clients that put a turn together from one send it back."""


class Turn(Struct, forbid_unknown_fields=True):
    """`developer` is the newer word for `system`. What can only be null is sent back by clients as they had it."""

    role: Literal["system", "developer", "user", "assistant", "tool"]
    content: str | list[TextPart] | None = None
    tool_calls: list[TurnsCall] | None = None
    tool_call_id: str | None = None
    name: str | None = None
    refusal: None = None
    function_call: None = None
    audio: None = None
    annotations: list[None] | None = None

    def message(self, place: str) -> Message:
        """Raises ServiceError for a turn that says nothing, or that has what its role has not."""
        content = "".join(part.text for part in self.content) if isinstance(self.content, list) else self.content
        if self.tool_calls and self.role != "assistant":
            raise ServiceError(f"{place}.tool_calls is for turns of the assistant", param="messages")
        if (self.tool_call_id is not None) != (self.role == "tool"):
            raise ServiceError(f"{place}.tool_call_id is for turns of a tool, which need it", param="messages")
        if content is None and not self.tool_calls:
            raise ServiceError(f"{place}.content is required", param="messages")
        return Message(
            "system" if self.role == "developer" else self.role,
            content,
            tuple(_call(call, f"{place}.tool_calls[{at}]") for at, call in enumerate(self.tool_calls or [])),
            self.tool_call_id,
            self.name,
        )


def messages(turns: list[Turn]) -> list[Message]:
    """Raises ServiceError."""
    return [turn.message(f"messages[{at}]") for at, turn in enumerate(turns)]


def _call(call: TurnsCall, place: str) -> Call:
    try:
        arguments = msgspec.json.decode(call.function.arguments or "{}")
    except msgspec.DecodeError:
        arguments = None
    if not isinstance(arguments, dict):
        raise ServiceError(f"{place}.function.arguments must be a JSON object, as text", param="messages")
    return Call(call.id, call.function.name, call.function.arguments or "{}")
