"""Tools in POST /v1/chat/completions as OpenAI's own client uses them, of a model that calls by force."""

import json
from typing import Annotated, Any, Literal

import openai
import pydantic
import pytest


class Weather(pydantic.BaseModel):
    """How it is outside."""

    city: Literal["Rome", "Oslo"]
    days: Annotated[int, pydantic.Field(ge=1, le=9)]


STRICT: Any = openai.pydantic_function_tool(Weather)
NOW: Any = {"type": "function", "function": {"name": "now", "description": "The time"}}
ASKED: Any = [{"role": "user", "content": "How is it?"}]


def test_a_tool_is_called_and_its_answer_goes_back(client: openai.OpenAI) -> None:
    asked: Any = {"model": "caller", "tools": [STRICT, NOW], "max_tokens": 1000, "seed": 1}
    answer = client.chat.completions.create(messages=ASKED, tool_choice="required", **asked)

    [choice] = answer.choices
    calls: Any = choice.message.tool_calls
    assert (choice.finish_reason, choice.message.content) == ("tool_calls", None)
    assert 1 <= len(calls) <= 16
    for call in calls:
        if call.function.name == "Weather":
            Weather.model_validate_json(call.function.arguments, strict=True)
        else:
            assert (call.function.name, json.loads(call.function.arguments)) == ("now", {})

    results: Any = [{"role": "tool", "tool_call_id": call.id, "content": "5"} for call in calls]
    further = client.chat.completions.create(messages=[*ASKED, choice.message, *results], **asked | {"max_tokens": 3})
    assert answer.usage is not None
    assert further.usage is not None
    assert further.usage.prompt_tokens > answer.usage.prompt_tokens
    assert further.choices[0].finish_reason == "length"


def test_a_call_comes_in_pieces(client: openai.OpenAI) -> None:
    asked: Any = {
        "model": "caller",
        "messages": ASKED,
        "tools": [NOW, STRICT],
        "tool_choice": {"type": "function", "function": {"name": "Weather"}},
        "seed": 2,
    }
    whole: Any = client.chat.completions.create(**asked).choices[0].message.tool_calls

    chunks = list(client.chat.completions.create(stream=True, **asked))

    pieces = [piece for chunk in chunks for piece in chunk.choices[0].delta.tool_calls or []]
    assert {piece.index for piece in pieces} == {0}
    assert [(piece.function.name, bool(piece.id), piece.type) for piece in pieces if piece.id] == [
        ("Weather", True, "function")
    ]
    assert "".join(piece.function.arguments or "" for piece in pieces) == whole[0].function.arguments
    assert len(pieces) > 3
    assert not any(chunk.choices[0].delta.content for chunk in chunks)
    assert chunks[-1].choices[0].finish_reason == "tool_calls"


def test_a_streamed_call_is_parsed_as_a_model_of_pydantic(client: openai.OpenAI) -> None:
    with client.chat.completions.stream(
        model="caller", messages=ASKED, tools=[STRICT], tool_choice="required", parallel_tool_calls=False, seed=3
    ) as stream:
        completion = stream.get_final_completion()

    [call] = completion.choices[0].message.tool_calls or []
    assert isinstance(call.function.parsed_arguments, Weather)


def test_a_model_that_may_call_may_as_well_answer(client: openai.OpenAI) -> None:
    """Tools change the prompt, and with tool_choice none they do not."""
    asked: Any = {"model": "caller", "messages": ASKED, "max_tokens": 5, "temperature": 0}
    plain, none, auto, strict = (
        client.chat.completions.create(**asked, **tools)
        for tools in (
            {},
            {"tools": [NOW], "tool_choice": "none"},
            {"tools": [NOW]},
            {"tools": [STRICT], "tool_choice": "auto"},
        )
    )

    assert none.choices == plain.choices
    for answer in (auto, strict):
        assert answer.choices[0].finish_reason == "length"
        assert answer.choices[0].message.content
        assert answer.usage is not None
        assert plain.usage is not None
        assert answer.usage.prompt_tokens > plain.usage.prompt_tokens


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"model": "toy"}, "The chat template of this model says nothing of tools to the model"),
        ({"tools": [NOW, NOW]}, "tools has two functions of the name now"),
        ({"tool_choice": {"type": "function", "function": {"name": "nix"}}}, "tool_choice names nix"),
        ({"tools": [], "tool_choice": "required"}, "tool_choice needs tools"),
        ({"tool_choice": "any"}, "tool_choice"),
        ({"tools": [{"type": "web_search"}]}, r"tools\[...\].function is required|must not be"),
        (
            {"tools": [{"type": "function", "function": {"name": "f", "strict": True, "parameters": {"not": {}}}}]},
            "The arguments of tool f cannot be held. .*: not cannot be held",
        ),
        (
            {"messages": [*ASKED, {"role": "tool", "content": "x"}]},
            r"messages\[1\].tool_call_id is for turns",
        ),
        ({"messages": [*ASKED, {"role": "assistant"}]}, r"messages\[1\].content is required"),
        (
            {
                "messages": [
                    {
                        "role": "assistant",
                        "tool_calls": [{"id": "x", "type": "function", "function": {"name": "f", "arguments": "["}}],
                    }
                ]
            },
            r"messages\[0\].tool_calls\[0\].function.arguments must be a JSON object",
        ),
    ],
)
def test_what_cannot_be_done_with_tools_is_refused_in_words(
    client: openai.OpenAI, fields: dict[str, Any], message: str
) -> None:
    asked: Any = {"model": "caller", "messages": ASKED, "tools": [NOW]} | fields

    with pytest.raises(openai.BadRequestError, match=message):
        client.chat.completions.create(**asked)
