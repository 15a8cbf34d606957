"""Tool calls and descriptions of tools, in the shapes of OpenAI, ShareGPT and Hermes."""

from state.rows.problems import Wrong, read_at, shown
from state.rows.row import Function, ToolCall, Tools
from state.rows.values import from_json, is_blank, json_object

_CALL = '{"name": "...", "arguments": {...}}'
_TOOL = '{"type": "function", "function": {"name": "...", "parameters": {...}}}'


def calls(value: object) -> tuple[ToolCall, ...]:
    """A list of calls, or its JSON text."""
    said = from_json(value, "a list of tool calls")
    if not isinstance(said, list):
        raise Wrong("wrong_tool_call", f"must be a list of tool calls, but is {shown(said)}")
    return tuple(read_at(f"[{index}]", _call, each) for index, each in enumerate(said))


def calls_of_turn(value: object) -> tuple[ToolCall, ...]:
    """What a turn says whose role is function_call: one call, or a list of them, mostly as JSON text."""
    said = from_json(value, f"one call, {_CALL}, or a list of them")
    if said == []:
        raise Wrong("wrong_tool_call", f"is an empty list: write the call, {_CALL}, or remove the turn")
    return calls(said) if isinstance(said, list) else (_call(said),)


def described(value: object) -> Tools:
    """A list of tools, or its JSON text."""
    if is_blank(value):
        return ()
    said = from_json(value, "a list of tools")
    if not isinstance(said, list):
        raise Wrong("wrong_tools", f"must be a list of tools such as {_TOOL}, but is {shown(said)}")
    return tuple(read_at(f"[{index}]", _tool, each) for index, each in enumerate(said))


def _call(value: object) -> ToolCall:
    if not isinstance(value, dict):
        raise Wrong("wrong_tool_call", f"must be a call such as {_CALL}, but is {shown(value)}")
    call = {key: inner for key, inner in value.items() if inner is not None}
    if call.pop("type", "function") != "function":
        raise Wrong("wrong_tool_call", "must be 'function': there are no other tool calls", "type")
    id_ = call.pop("id", None) or None
    if not isinstance(id_, str | None):
        raise Wrong("wrong_tool_call", f"must be a text, but is {shown(id_)}", "id")
    if "function" not in call:
        return ToolCall("function", _function(call), id_)
    function = read_at("function", _function, call.pop("function"))
    if call:
        raise Wrong("wrong_tool_call", f"has the unknown key {shown(next(iter(call)))}: remove it")
    return ToolCall("function", function, id_)


def _function(value: object) -> Function:
    if not isinstance(value, dict):
        raise Wrong("wrong_tool_call", f"must be {_CALL}, but is {shown(value)}")
    name = value.get("name")
    if not isinstance(name, str) or not name:
        raise Wrong("wrong_tool_call", f"needs the name of the function that is called: write {_CALL}", "name")
    if unknown := value.keys() - {"name", "arguments", "parameters"}:
        raise Wrong("wrong_tool_call", f"has the unknown key {shown(min(unknown))}: remove it")
    if value.get("arguments") is not None and value.get("parameters") is not None:
        raise Wrong("wrong_tool_call", "has both arguments and parameters: keep arguments")
    key = "parameters" if value.get("arguments") is None else "arguments"
    return Function(name, read_at(key, _arguments, value.get(key)))


def _arguments(value: object) -> dict[str, object]:
    if is_blank(value):
        return {}
    arguments = from_json(value, "the call's arguments")
    if not isinstance(arguments, dict):
        raise Wrong("wrong_type", f'must be an object such as {{"city": "Rome"}}, but is {shown(arguments)}')
    return json_object(arguments)


def _tool(value: object) -> dict[str, object]:
    """OpenAI's shape of a tool; a bare function gets its frame."""
    if not isinstance(value, dict):
        raise Wrong("wrong_tools", f"must be a tool such as {_TOOL}, but is {shown(value)}")
    tool = json_object(value)
    if "function" not in tool and "name" in tool:
        tool.pop("type", None)
        if "input_schema" in tool:
            tool["parameters"] = tool.pop("input_schema")
        tool = {"type": "function", "function": tool}
    function = tool.get("function")
    if tool.setdefault("type", "function") != "function" or not isinstance(function, dict):
        raise Wrong("wrong_tools", f"must be a function: write {_TOOL}")
    if not isinstance(function.get("name"), str) or not function["name"]:
        raise Wrong("wrong_tools", f"needs the name of the function: write {_TOOL}", "function.name")
    return tool
