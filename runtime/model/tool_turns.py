"""Tools, their calls and their answers as chat templates take them, for training and for serving."""

import json
from collections.abc import Mapping, Sequence
from typing import Any

from msgspec import to_builtins

from runtime.messages.inference import Message, Tool
from runtime.model import chat
from runtime.model.chat import ChatTemplate, TemplateRaised, Turns
from state.errors import ServiceError

ANOTHER = "another answer"


def with_argument_strings(messages: Turns) -> Turns:
    """Tool calls with their arguments as JSON, as OpenAI's interface has them and some templates want them."""
    return Turns([{**message, **_with_strings(message)} for message in messages])


def refuse_printed_objects(messages: Turns, text: str) -> None:
    """Raise TemplateRaised where a template has written arguments as Python prints them: it wants them as JSON."""
    for message in messages:
        for call in message.get("tool_calls", ()):
            arguments = call["function"]["arguments"]
            if isinstance(arguments, dict) and str(arguments) in text and str(arguments) != _as_json(arguments):
                raise TemplateRaised("tool arguments must be JSON")


def prompt(
    template: ChatTemplate, messages: Sequence[Message], tools: Sequence[Tool], switches: Mapping[str, bool]
) -> str:
    """A conversation with tools or their calls, to which the model answers as the assistant.

    Raises TemplateRaised; ServiceError for a template that would leave out what is asked of it.
    """
    turns = chat.turns([_shown(message) for message in messages])
    described = [_described(tool) for tool in tools] or None
    if described and not template.writes_tools:
        turns, described = _in_system_message(template, turns, described), None
    text = _rendered(template, turns, described, switches)
    _refuse_left_out(template, turns, described, switches, text)
    return text


def _rendered(
    template: ChatTemplate, turns: Turns, tools: list[dict[str, Any]] | None, switches: Mapping[str, bool]
) -> str:
    try:
        text = template.render(turns, tools, add_generation_prompt=True, switches=switches)
        refuse_printed_objects(turns, text)
    except TemplateRaised:
        if not any("tool_calls" in turn for turn in turns):
            raise
        return template.render(with_argument_strings(turns), tools, add_generation_prompt=True, switches=switches)
    return text


def _in_system_message(template: ChatTemplate, turns: Turns, described: list[dict[str, Any]]) -> Turns:
    """As Phi 4's template takes tools: as JSON, beside the system message's text."""
    if not template.reads_tools_of_messages:
        raise ServiceError(
            "The chat template of this model says nothing of tools to the model: ask a model whose template does, or "
            "leave tools out"
        )
    given = _as_json([tool["function"] for tool in described])
    rest: list[dict[str, Any]] = list(turns)
    system = rest.pop(0) if rest and rest[0]["role"] == "system" else {"role": "system", "content": ""}
    return Turns([{**system, "tools": given}, *rest])


def _refuse_left_out(
    template: ChatTemplate,
    turns: Turns,
    tools: list[dict[str, Any]] | None,
    switches: Mapping[str, bool],
    text: str,
) -> None:
    if any("tool_calls" in turn for turn in turns) and not template.writes_tool_calls:
        raise ServiceError("The chat template of this model writes no calls of tools: leave turns with tool_calls out")
    changed = [{**turn, "content": ANOTHER} if turn["role"] == "tool" else turn for turn in turns]
    if changed != turns and _rendered(template, Turns(changed), tools, switches) == text:
        raise ServiceError("The chat template of this model writes no answers of tools: leave turns of role tool out")
    if tools and _rendered(template, turns, None, switches) == text:
        raise ServiceError("The chat template of this model writes no tools for these messages: leave tools out")


def _described(tool: Tool) -> dict[str, Any]:
    """In OpenAI's shape. Whether calls are held to the parameters is no matter of the model."""
    about = {"name": tool.name, "description": tool.description, "parameters": tool.parameters}
    return {"type": "function", "function": {name: value for name, value in about.items() if value is not None}}


def _shown(message: Message) -> dict[str, Any]:
    shown: dict[str, Any] = to_builtins(message)
    if message.tool_calls:
        shown["tool_calls"] = [
            {
                "type": "function",
                "id": call.id,
                "function": {"name": call.name, "arguments": json.loads(call.arguments)},
            }
            for call in message.tool_calls
        ]
    return shown


def _with_strings(message: Mapping[str, Any]) -> dict[str, Any]:
    if "tool_calls" not in message:
        return {}
    functions = [(call, call["function"]) for call in message["tool_calls"]]
    return {
        "tool_calls": [
            {**call, "function": {**function, "arguments": _as_json(function["arguments"])}}
            for call, function in functions
        ]
    }


def _as_json(value: object) -> str:
    return json.dumps(value, ensure_ascii=False)
