"""What Play asks and shows beside plain texts. The stream is a recorded one: the bundled model calls no tools."""

import json
from collections.abc import Callable
from typing import Any

from playwright.sync_api import Route, expect

from tests.dashboard.conftest import Visit
from tests.server import Server

TOOL = {"type": "function", "function": {"name": "add"}}
DELTAS = [
    {"role": "assistant", "content": ""},
    {"content": "I add. "},
    {"tool_calls": [{"index": 0, "id": "1", "type": "function", "function": {"name": "add", "arguments": ""}}]},
    {"tool_calls": [{"index": 0, "function": {"arguments": '{"a": 1,'}}]},
    {"tool_calls": [{"index": 0, "function": {"arguments": ' "b": "<b>"}'}}]},
]
STREAM = [{"choices": [{"index": 0, "delta": delta}]} for delta in DELTAS]
END = {"choices": [{"index": 0, "delta": {}, "finish_reason": "tool_calls"}]}


def test_calls_of_tools_are_shown(lived_in: Server, visit: Callable[..., Visit]) -> None:
    page = visit(lived_in, "#/play?models=tiny-python,haiku&call=required").page
    asked: list[Any] = []
    recorded = "".join(f"data: {json.dumps(event)}\n\n" for event in [*STREAM, END]) + "data: [DONE]\n\n"

    def reply(route: Route) -> None:
        asked.append(route.request.post_data_json)
        route.fulfill(body=recorded, content_type="text/event-stream")

    page.route("**/v1/chat/completions", reply)

    page.get_by_text("Settings:").click()
    page.get_by_label("Tools").fill(json.dumps(TOOL))
    page.get_by_label("Tools").blur()
    page.get_by_text("This is not a list in JSON").wait_for()
    page.get_by_label("Tools").fill(json.dumps([TOOL]))
    page.locator("#json").select_option("object")
    page.locator("#ask").fill("2 + 3?")
    page.keyboard.press("Enter")

    expect(page.get_by_label("Arguments of add")).to_have_text(['{"a": 1, "b": "<b>"}'] * 2)
    assert page.get_by_label("Answer of haiku").locator(".said").first.inner_text() == "I add. "
    assert sorted(one["model"] for one in asked) == ["haiku", "tiny-python"]  # both are asked at once
    assert asked[0] | {"model": None} == asked[1] | {"model": None}
    assert (
        asked[0].items()
        >= {
            "tools": [TOOL],
            "tool_choice": "required",
            "response_format": {"type": "json_object"},
            "messages": [{"role": "user", "content": "2 + 3?"}],
            "temperature": 0,
        }.items()
    )
