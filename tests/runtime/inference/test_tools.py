"""Calls of tools: what a family's template writes of them is read as it was, and what is held is one."""

import functools
import json
import random
from typing import Any

import jsonschema_rs
import pytest

from runtime.inference.tools import holding
from runtime.inference.tools.forms import HERMES, Form, form_of
from runtime.inference.tools.holding import Written
from runtime.inference.tools.reading import CallReader
from runtime.messages.inference import Call, CallPiece, Message, Tool, ToolUse
from runtime.model.chat import ChatTemplate
from runtime.model.prompts import Prompts
from runtime.model.text import special_tokens
from state.adapters import ChatSettings
from state.errors import ServiceError
from tests import chats
from tests.clueless import Clueless

ADD = Tool(
    "add",
    "Adds",
    {
        "type": "object",
        "properties": {"a": {"type": "integer"}, "of": {"enum": ["two", 'é\n"}']}},
        "required": ["a", "of"],
        "additionalProperties": False,
    },
    strict=True,
)
NOW = Tool("what.time-is_it")
TOOLS = [ADD, NOW]
CALLS = [
    Call("abcdefghi", "add", '{"a": 2, "of": "é\\n\\"}"}'),
    Call("abcdefghj", "what.time-is_it", "{}"),
]
USER = Message("user", "Which?")
FAMILIES = ["qwen3", "llama32", "mistral3", "mistral13", "phi4"]
ONE_CALL = ("llama32",)
"""Their templates take no more in one turn."""


@functools.cache
def _clueless(family: str) -> Clueless:
    return Clueless(chats.tokenizer(family))


def _form(family: str) -> Form:
    """A model of plain words calls as Qwen's do."""
    return HERMES if family == "tiny-python" else form_of(ChatTemplate(chats.tokenizer(family)))


def _reader(family: str, names: list[str], *, parallel: bool = True) -> CallReader:
    tokenizer = chats.tokenizer(family)
    return CallReader(_form(family), names, list(special_tokens(tokenizer)), parallel=parallel)


def _read(reader: CallReader, text: str, seed: int) -> tuple[str, list[CallPiece]]:
    """What a stream tells, of a text that comes in pieces."""
    pick = random.Random(seed)  # noqa: S311
    said = ""
    pieces: list[CallPiece] = []
    while text:
        size = pick.randint(1, 6)
        more, calls = reader.add(text[:size])
        text, said, pieces = text[size:], said + more, pieces + calls
    more, calls = reader.add("", is_last=True)
    return said + more, pieces + calls


def _written(family: str, calls: list[Call]) -> str:
    """What a template writes of an assistant's turn: what the model learns to write."""
    tokenizer = chats.tokenizer(family)
    prompts = Prompts(tokenizer, len(tokenizer))
    turns = [USER, Message("assistant", tool_calls=tuple(calls)), Message("tool", "5", tool_call_id="abcdefghi")]
    before, behind = (
        str(tokenizer.decode(prompts.tokens([*some], ChatSettings(), TOOLS))) for some in (turns[:1], turns)
    )
    begin = before.removesuffix("<think>\n\n</think>\n\n")
    assert behind.startswith(begin)
    return behind[len(begin) :].partition(str(tokenizer.eos_token))[0]


@pytest.mark.parametrize("family", [family for family in FAMILIES if family != "phi4"])
@pytest.mark.parametrize("seed", range(4))
def test_what_a_template_writes_of_calls_is_read_as_it_was(family: str, seed: int) -> None:
    calls = CALLS[:1] if family in ONE_CALL else CALLS
    reader = _reader(family, [ADD.name, NOW.name])

    said, pieces = _read(reader, _written(family, calls), seed)

    assert [(call.name, json.loads(call.arguments)) for call in reader.calls] == [
        (call.name, json.loads(call.arguments)) for call in calls
    ]
    assert said.strip() == reader.text.strip() == ""
    for number, call in enumerate(reader.calls):
        first, *rest = [piece for piece in pieces if piece.index == number]
        assert (first.id, first.name, first.arguments) == (call.id, call.name, "")
        assert "".join(piece.arguments for piece in rest) == call.arguments
        assert not any(piece.id or piece.name for piece in rest)


@pytest.mark.parametrize(
    ("family", "text", "told", "names"),
    [
        ("qwen3", 'Sure: <tool_call>\n{"name": "add", "arguments": {}}\n</tool_call>\n', "Sure: ", ["add"]),
        ("qwen3", "<tool_call>{'name': 'add'}</tool_call>", "<tool_call>{'name': 'add'}</tool_call>", []),
        ("qwen3", "a <tool_call> b", "a <tool_call> b", []),
        ("qwen3", '<tool_call>\n{"name": "sub", "arguments": {}}', '<tool_call>\n{"name": "sub", "arguments": {}}', []),
        ("qwen3", '<tool_call>\n{"na', '<tool_call>\n{"na', []),
        ("qwen3", "\n\n", "\n\n", []),
        ("llama32", '<|python_tag|>{"name": "add", "parameters": {"a": 1}}', "", ["add"]),
        ("llama32", '{"name": "add", "arguments": {}}; {"name": "add", "parameters": {}}', "", ["add", "add"]),
        ("llama32", 'It is {"name": "add", "parameters": {}}', 'It is {"name": "add", "parameters": {}}', []),
        ("mistral3", '[TOOL_CALLS] [{"name": "add", "arguments": {"a": [{}]}, "id": "x"}]', "", ["add"]),
        ("mistral13", "Hm.[TOOL_CALLS]add[CALL_ID]x1[ARGS]{}[TOOL_CALLS]add[ARGS]{}", "Hm.", ["add", "add"]),
        (
            "phi4",
            '<|tool_call|>[{"name": "add", "arguments": {}}, {"name": "add", "arguments": {}}]<|/tool_call|>',
            "",
            ["add"] * 2,
        ),
    ],
)
def test_calls_are_told_from_text(family: str, text: str, told: str, names: list[str]) -> None:
    for seed in range(4):
        reader = _reader(family, ["add"])

        said, _ = _read(reader, text, seed)

        assert (said, reader.text) == (told, told)
        assert [call.name for call in reader.calls] == names


def test_where_one_call_is_asked_for_there_is_one() -> None:
    reader = _reader("qwen3", ["add"], parallel=False)

    _read(reader, '<tool_call>\n{"name": "add", "arguments": {}}\n</tool_call>' * 2, seed=1)

    assert reader.is_complete
    assert len(reader.calls) == 1


@pytest.mark.parametrize("family", FAMILIES)
@pytest.mark.parametrize("use", [{"must_call": True}, {"must_call": True, "only": "add", "parallel": False}, {}])
def test_calls_are_held_to_their_form_and_their_parameters(family: str, use: dict[str, Any]) -> None:
    """Where a tool is strict, also of a model that need not call: what begins as a call becomes one."""
    asked = ToolUse(TOOLS, **use)
    held = holding.grammar(_form(family), asked, None, Written(chats.tokenizer(family)))

    for seed in range(4):
        text = _clueless(family).writes(held, seed)
        reader = _reader(family, ["add"] if asked.only else [ADD.name, NOW.name])
        reader.add(text, is_last=True)

        assert (len(reader.calls) > 0) is (asked.must_call or bool(reader.calls))
        assert len(reader.calls) == 1 or asked.parallel
        for call in reader.calls:
            others: dict[str, Any] = (
                {"const": {}} if asked.must_call else {"type": "object"}
            )  # the other tool is not strict
            schema = ADD.parameters or {} if call.name == "add" else others
            jsonschema_rs.validator_for(schema).validate(json.loads(call.arguments))
        assert not (asked.must_call and reader.text.strip())


@pytest.mark.parametrize("family", [*FAMILIES, "tiny-python"])
def test_what_begins_as_a_call_of_a_strict_tool_becomes_one(family: str) -> None:
    form, written = _form(family), Written(chats.tokenizer(family))
    held = holding.grammar(form, ToolUse(TOOLS), None, written)

    def called(arguments: str) -> str:
        return form.begin + "add" + form.middle + arguments + form.tail + form.closing

    text = "" if form.is_whole_answer else "Let me see:\n"
    for answer in ("", "Hm.", "It is {2}", text + called('{"a": 1, "of": "two"}')):
        assert _clueless(family).takes(held, answer), answer
    for answer in (text + called('{"a": "x", "of": "two"}'), text + called("{}"), text + called("{}")[:-1] + "!"):
        assert not _clueless(family).takes(held, answer), answer
    if family == "qwen3":
        assert _clueless(family).takes(held, "<think>\nHm.\n</think>\n\n" + called('{"a": 1, "of": "two"}'))


def test_an_answer_that_is_held_may_be_a_call_in_its_place() -> None:
    held = holding.grammar(HERMES, ToolUse([ADD]), '{"const": 5}', Written(chats.tokenizer("qwen3")))

    found = {_clueless("qwen3").writes(held, seed)[:5] for seed in range(12)}

    assert found == {"<tool", "5"}


@pytest.mark.parametrize(
    ("family", "turns", "tools", "message"),
    [
        ("gemma", [USER], TOOLS, "says nothing of tools to the model"),
        ("phi3", [USER], TOOLS, "says nothing of tools to the model"),
        ("chatml", [USER, Message("assistant", "", (CALLS[0],)), USER], [], "writes no calls of tools"),
        ("gemma", [USER, Message("assistant", "x"), Message("tool", "5", tool_call_id="x")], [], "must alternate"),
        ("mistral3", [USER, Message("assistant", tool_calls=(Call("x", "add", "{}"),))], TOOLS, "IDs should be"),
        ("llama32", [USER, Message("assistant", tool_calls=tuple(CALLS))], TOOLS, "Only one tool call"),
    ],
)
def test_what_a_template_cannot_say_is_refused_in_words(
    family: str, turns: list[Message], tools: list[Tool], message: str
) -> None:
    tokenizer = chats.tokenizer(family)

    with pytest.raises(ServiceError, match=message):
        Prompts(tokenizer, len(tokenizer)).tokens([*turns], ChatSettings(), tools)


def test_a_form_that_is_not_known_is_refused_in_words() -> None:
    template = ChatTemplate(chats.tokenizer("chatml"), "{{ tools }}<start_function_call>")

    with pytest.raises(ServiceError, match="in a form that is not known here"):
        form_of(template)


def test_tools_are_beside_the_system_message_where_the_template_looks_for_them_there() -> None:
    tokenizer = chats.tokenizer("phi4")

    found = str(tokenizer.decode(Prompts(tokenizer, len(tokenizer)).tokens([USER], ChatSettings(), [NOW])))

    assert found.startswith('<|system|><|tool|>[{"name": "what.time-is_it"}]<|/tool|><|end|><|user|>')
