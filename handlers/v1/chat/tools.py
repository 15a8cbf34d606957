"""Tools and their calls, in OpenAI's protocol."""

from typing import Annotated, Any, Literal

from msgspec import Meta, Struct

from runtime.messages.inference import Call, CallPiece, Tool, ToolUse
from state.errors import ServiceError

Name = Annotated[str, Meta(pattern=r"^[a-zA-Z0-9_.-]{1,64}$")]


class FunctionTool(Struct, forbid_unknown_fields=True):
    name: Name
    description: str | None = None
    parameters: dict[str, Any] | None = None
    strict: bool | None = None


class OfferedTool(Struct, forbid_unknown_fields=True):
    type: Literal["function"]
    function: FunctionTool


class ChosenName(Struct, forbid_unknown_fields=True):
    name: str


class ChosenTool(Struct, forbid_unknown_fields=True):
    type: Literal["function"]
    function: ChosenName


class CallOfFunction(Struct, omit_defaults=True):
    arguments: str
    name: str | None = None


class ToolCall(Struct, omit_defaults=True):
    """`index` is for the pieces of streams; their first one has the id and the name."""

    function: CallOfFunction
    index: int | None = None
    id: str | None = None
    type: str | None = None


def use_of(
    tools: list[OfferedTool] | None,
    choice: Literal["none", "auto", "required"] | ChosenTool | None,
    parallel: bool | None,  # noqa: FBT001
) -> ToolUse | None:
    """What the model is offered; None for no tools. Raises ServiceError for a choice that there is not."""
    if not tools:
        if choice not in {None, "none", "auto"}:
            raise ServiceError("tool_choice needs tools", param="tool_choice")
        return None
    names = [tool.function.name for tool in tools]
    if (twice := next((name for name in names if names.count(name) > 1), None)) is not None:
        raise ServiceError(f"tools has two functions of the name {twice}", param="tools")
    if choice == "none":
        return None
    only = choice.function.name if isinstance(choice, ChosenTool) else None
    if only is not None and only not in names:
        raise ServiceError(f"tool_choice names {only}, which is none of the tools", param="tool_choice")
    return ToolUse(
        [_tool(tool.function) for tool in tools],
        must_call=choice == "required" or only is not None,
        only=only,
        parallel=parallel is not False and only is None,
    )


def _tool(function: FunctionTool) -> Tool:
    return Tool(function.name, function.description, function.parameters, strict=bool(function.strict))


def whole(calls: list[Call]) -> list[ToolCall] | None:
    return [ToolCall(CallOfFunction(call.arguments, call.name), None, call.id, "function") for call in calls] or None


def pieces(calls: list[CallPiece]) -> list[ToolCall] | None:
    return [
        ToolCall(CallOfFunction(piece.arguments, piece.name), piece.index, piece.id, piece.id and "function")
        for piece in calls
    ] or None
