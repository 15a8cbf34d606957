"""A row's messages as a template takes them, and which of them are learned."""

from collections.abc import Mapping, Sequence
from typing import Any

from msgspec import Struct

from runtime.model import chat
from runtime.model.chat import ChatTemplate, Turns
from runtime.trainer.masks.results import Refusal
from state.rows.row import Message, ToolCall

OPENS, CLOSES = "<think>", "</think>"


class Conversation(Struct, frozen=True):
    """`messages` and `places` go together: the place is where in the row a message stands."""

    messages: Turns
    places: Sequence[str]
    tools: Sequence[Mapping[str, Any]] | None
    switches: Mapping[str, bool]
    learned: Sequence[int]
    """The indices of the answers that are learned."""

    def until(self, index: int) -> Turns:
        return Turns(self.messages[:index])


def conversation(
    template: ChatTemplate,
    messages: Sequence[Message],
    places: Sequence[str],
    tools: Sequence[Mapping[str, Any]],
    learned: Sequence[int],
) -> Conversation:
    """Raises Refusal where nothing is learned."""
    if not learned:
        raise Refusal("nothing_to_learn", _why_nothing(messages))
    shaped = [_message(message, splits=template.writes_reasoning) for message in messages]
    thinks = any(_thinks(message) for message in shaped)
    return Conversation(chat.turns(shaped), places, tools or None, dict.fromkeys(template.switches, thinks), learned)


def learned_answers(messages: Sequence[Message]) -> list[int]:
    """The first message is never one: nothing has been asked yet, and serving takes no empty conversation."""
    return [
        index for index, message in enumerate(messages) if index > 0 and message.role == "assistant" and message.weight
    ]


def _why_nothing(messages: Sequence[Message]) -> str:
    answers = [index for index, message in enumerate(messages) if message.role == "assistant"]
    if not answers:
        return "nothing to learn: no message is the assistant's"
    if answers == [0] and messages[0].weight:
        return "nothing to learn: the only answer is messages[0], and nothing is asked before it"
    return "nothing to learn: all answers have weight 0"


def _message(message: Message, *, splits: bool) -> dict[str, Any]:
    content, reasoning = message.content, message.reasoning_content
    if splits and content and reasoning is None and message.role == "assistant":
        reasoning, content = _split(content)
    return {
        "role": message.role,
        "content": content,
        "reasoning_content": reasoning or None,
        "tool_calls": [_call(call) for call in message.tool_calls] or None,
        "tool_call_id": message.tool_call_id,
        "name": message.name,
    }


def _split(content: str) -> tuple[str | None, str]:
    r"""Thoughts that lead an answer, and the answer, divided as Qwen 3's template divides them.

    >>> _split("<think>\ngreet\n</think>\n\nHello!")
    ('greet', 'Hello!')
    """
    begin = content.lstrip()
    if not begin.startswith(OPENS) or CLOSES not in begin:
        return None, content
    thoughts, _, answer = begin.removeprefix(OPENS).partition(CLOSES)
    return thoughts.strip("\n"), answer.lstrip("\n")


def _thinks(message: Mapping[str, Any]) -> bool:
    if message["role"] != "assistant":
        return False
    if message["reasoning_content"]:
        return True
    thoughts, closes, _ = (message["content"] or "").partition(CLOSES)
    return bool(closes and thoughts.replace(OPENS, "").strip())


def _call(call: ToolCall) -> dict[str, Any]:
    function = {"name": call.function.name, "arguments": call.function.arguments}
    return {"type": call.type, "function": function} | ({} if call.id is None else {"id": call.id})
