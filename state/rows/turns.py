"""Lists of turns as people have them, in messages.

Roles and keys are known by the tables below and by nothing else: what a word means is never guessed.
"""

from collections.abc import Sequence
from functools import lru_cache
from typing import Literal

from msgspec import Struct

from state.rows import tools, values
from state.rows.problems import Wrong, either, read_at, shown
from state.rows.row import Message, Messages, ToolCall

Role = Literal["system", "user", "assistant", "tool"]

ROLES: dict[str, Role] = {
    "system": "system",
    "developer": "system",
    "context": "system",
    "user": "user",
    "human": "user",
    "prompter": "user",
    "instruction": "user",
    "assistant": "assistant",
    "gpt": "assistant",
    "model": "assistant",
    "bot": "assistant",
    "chatbot": "assistant",
    "ai": "assistant",
    "output": "assistant",
    "tool": "tool",
    "observation": "tool",
    "function_response": "tool",
    "ipython": "tool",
}
CALLS = frozenset({"function_call", "tool_call"})
"""Roles of an assistant's turn whose text is a tool call in JSON."""
FUNCTION = "function"
"""A role with two meanings: a tool's answer under OpenAI's key `role`, a call under ShareGPT's key `from`."""

KEYS = {
    "role": "role",
    "from": "role",
    "speaker": "role",
    "author": "role",
    "content": "content",
    "value": "content",
    "text": "content",
    "message": "content",
    "reasoning_content": "reasoning_content",
    "reasoning": "reasoning_content",
    "thinking": "reasoning_content",
    "tool_calls": "tool_calls",
    "function_call": "function_call",
    "tool_call_id": "tool_call_id",
    "name": "name",
    "weight": "weight",
}
OF_ASSISTANTS = ("reasoning_content", "tool_calls", "function_call", "weight")


class Names(Struct, frozen=True):
    """What the keys of a turn are called in this file."""

    role: str
    content: str | None
    others: dict[str, str]


def messages(value: object) -> Messages:
    """The turns of a list, or of its JSON text. Raises Wrong with the place in the list."""
    turns = values.from_json(value, "a list of messages")
    if not isinstance(turns, list) or not turns:
        found = "an empty list" if turns == [] else shown(turns)
        raise Wrong("missing_messages_list", f'must be a list of {{"role", "content"}} objects, but is {found}')
    read = []
    try:
        for turn in turns:
            read.append(_message(turn))  # noqa: PERF401  the place of what is wrong is the length of the list
    except Wrong as wrong:
        raise wrong.under(f"[{len(read)}]") from None
    return tuple(read)


def with_system(system: object, turns: Messages) -> Messages:
    """The turns behind a system text that lies in a column of its own, if it says anything."""
    if values.is_blank(system):
        return turns
    if turns[0].role == "system":
        raise Wrong("misplaced_key", "is given beside a system turn: keep one of the two", "system")
    return (Message("system", read_at("system", values.text, system)), *turns)


def check_learned(turns: Sequence[Message]) -> None:
    """Raise Wrong for turns from which nothing would be learned."""
    weights = [turn.weight for turn in turns if turn.role == "assistant"]
    if not weights:
        raise Wrong(
            "example_missing_assistant_message",
            "has no assistant's turn, so there is nothing to learn: add the answer, or remove the row",
        )
    if not any(weights):
        raise Wrong(
            "nothing_to_learn",
            "every assistant's turn has weight 0, so there is nothing to learn: give one weight 1, or remove the row",
        )


def turns_in(text: str) -> object:
    """The list that a text is, if it is a JSON list of turns, as in CSV columns; else the text itself."""
    if not text.lstrip().startswith("[{"):
        return text
    try:
        decoded = values.from_json(text, "")
    except Wrong:
        return text
    if isinstance(decoded, list) and all(isinstance(turn, dict) and "role" in turn for turn in decoded):
        return decoded
    return text


def keys_of(turn: object) -> str:
    """`role/content` as this turn spells it, for reports; empty where it has no such keys."""
    try:
        names = _names_in(turn)
    except Wrong:
        return ""
    return "/".join(filter(None, (names.role, names.content)))


def _message(turn: object) -> Message:
    names = _names_in(turn)
    assert isinstance(turn, dict)  # noqa: S101  or it would have no names
    said = turn[names.role]
    role = ROLES.get(said) if isinstance(said, str) else None
    if names.content is not None and not names.others and role is not None:
        content = turn[names.content]
        if content and isinstance(content, str):
            return Message(role, content)  # nearly all turns of nearly all files
    return _whole_message(turn, names)


def _names_in(turn: object) -> Names:
    if not isinstance(turn, dict):
        raise Wrong("wrong_type", f"must be an object with role and content, but is {shown(turn)}")
    if None in turn.values():
        turn = {key: value for key, value in turn.items() if value is not None}
    return _names(tuple(turn))


@lru_cache(maxsize=1024)
def _names(keys: tuple[str, ...]) -> Names:
    found: dict[str, str] = {}
    for key in keys:
        name = KEYS.get(key.lower())
        if name is None:
            known = "role, content, name, weight, reasoning_content, tool_calls and tool_call_id"
            raise Wrong("message_unrecognized_key", f"is no key of a message: remove it, or use {known}", key[:40])
        if name in found:
            raise Wrong("duplicate_key", f"{found[name]!r} and {key!r} both say the {name}: keep one of the two", key)
        found[name] = key
    if "role" not in found:
        raise Wrong("message_missing_key", 'has no role: say who speaks, such as "role": "user"')
    return Names(found.pop("role"), found.pop("content", None), found)


def _whole_message(turn: dict[str, object], names: Names) -> Message:
    role, is_call = _role(turn[names.role], names.role)
    fields = {name: turn[key] for name, key in names.others.items() if not values.is_blank(turn[key])}
    for name in OF_ASSISTANTS:
        if name in fields and role != "assistant":
            message = f"belongs to an assistant's turn, but this is a {role}'s: remove it"
            raise Wrong("misplaced_key", message, names.others[name])
    if "tool_call_id" in fields and role != "tool":
        raise Wrong("misplaced_key", "belongs to a tool's turn: remove it", names.others["tool_call_id"])
    calls = _calls_said(turn, names, fields) if is_call else _calls(fields, names)
    return Message(
        role,
        None if is_call else _content(turn, names, role, has_calls=bool(calls)),
        _text(fields, names, "reasoning_content"),
        calls,
        _text(fields, names, "tool_call_id"),
        _text(fields, names, "name"),
        _weight(fields, names),
    )


def _role(said: object, key: str) -> tuple[Role, bool]:
    """The role, and whether the turn's text is a tool call."""
    word = said.strip().lower() if isinstance(said, str) else ""
    if word == FUNCTION:
        return ("assistant", True) if key.lower() == "from" else ("tool", False)
    if word in CALLS:
        return "assistant", True
    if word not in ROLES:
        known = either(["system", "user", "assistant", "tool"])
        raise Wrong("unrecognized_role", f"{shown(said)} is not a role: use {known}", key)
    return ROLES[word], False


def _content(turn: dict[str, object], names: Names, role: Role, *, has_calls: bool) -> str | None:
    if names.content is None:
        if has_calls:
            return None
        for key in turn:
            if KEYS.get(key.lower()) == "content":
                raise Wrong("missing_content", "is null: write the text, or remove the turn", key)
        raise Wrong("message_missing_key", "has no content: write the turn's text, or remove the turn")
    content = read_at(names.content, _joined, turn[names.content])
    if not content and not has_calls and role in {"user", "assistant"}:
        raise Wrong("missing_content", "is empty: write the text, or remove the turn", names.content)
    return content


def _joined(content: object) -> str:
    """A text, also where it comes as a list of parts."""
    if isinstance(content, str):
        return content
    if not isinstance(content, list):
        raise Wrong("missing_content", f"is {shown(content)}, not a text: write it as a text in quotes")
    for index, part in enumerate(content):
        if not isinstance(part, dict) or part.get("type") != "text" or not isinstance(part.get("text"), str):
            kind = shown(part.get("type")) if isinstance(part, dict) else shown(part)
            message = f'is {kind}, but only texts can be trained on: use {{"type": "text", "text": "..."}}'
            raise Wrong("missing_content", message, f"[{index}]")
    return "".join(part["text"] for part in content)


def _calls(fields: dict[str, object], names: Names) -> tuple[ToolCall, ...]:
    if "tool_calls" in fields and "function_call" in fields:
        raise Wrong("duplicate_key", "is given beside tool_calls: keep tool_calls", names.others["function_call"])
    for name, read in (("tool_calls", tools.calls), ("function_call", tools.calls_of_turn)):
        if name in fields:
            return read_at(names.others[name], read, fields[name])
    return ()


def _calls_said(turn: dict[str, object], names: Names, fields: dict[str, object]) -> tuple[ToolCall, ...]:
    """The calls of a turn whose text is calls."""
    for name in ("tool_calls", "function_call"):
        if name in fields:
            raise Wrong("duplicate_key", "is given beside a text that is a call: keep one", names.others[name])
    if names.content is None:
        raise Wrong("message_missing_key", "has no content: write the call as JSON, or remove the turn")
    return read_at(names.content, tools.calls_of_turn, turn[names.content])


def _text(fields: dict[str, object], names: Names, name: str) -> str | None:
    return read_at(names.others[name], values.text, fields[name]) if name in fields else None


def _weight(fields: dict[str, object], names: Names) -> Literal[0, 1]:
    weight = fields.get("weight", 1)
    if isinstance(weight, bool) or not isinstance(weight, int | float) or weight not in {0, 1}:
        message = f"must be 1 (learned) or 0 (only read), but is {shown(weight)}"
        raise Wrong("wrong_weight", message, names.others["weight"])
    return 1 if weight == 1 else 0
