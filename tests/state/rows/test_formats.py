"""Each format that people have becomes its row; each mistake that people make has its sentence."""

import json
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from state.errors import ServiceError
from state.rows import formats, reading
from state.rows.problems import Wrong
from state.rows.row import Chat, Function, Message, Preference, PromptCompletion, Row, Text, ToolCall

USER = Message("user", "Hi")
ASSISTANT = Message("assistant", "Hello!")
HI = {"role": "user", "content": "Hi"}
HELLO = {"role": "assistant", "content": "Hello!"}
BAD = {"role": "assistant", "content": "Go away."}
ADD = ToolCall("function", Function("add", {"a": 2, "b": 3}))
TOOL: dict[str, Any] = {"type": "function", "function": {"name": "add", "parameters": {"type": "object"}}}


def _read(folder: Path, *rows: object, columns: dict[str, str] | None = None) -> tuple[list[Row], reading.Report]:
    """What a JSON Lines file with these rows is read as; wrong ones are skipped, and reported."""
    file = folder / "data.jsonl"
    file.write_text("".join(json.dumps(row) + "\n" for row in rows))
    read = reading.Reading(file, columns=columns, skip_invalid=True)
    return [numbered.row for numbered in read.rows()], read.report


ROWS: list[tuple[str, object, Row]] = [
    ("text", {"text": "def add(a, b):"}, Text("def add(a, b):")),
    ("text", {"TEXT": " kept as it is\n"}, Text(" kept as it is\n")),
    ("prompt_completion", {"prompt": "1 + 1 =", "completion": " 2"}, PromptCompletion("1 + 1 =", " 2")),
    ("prompt_completion", {"prompt": "", "completion": "anything"}, PromptCompletion("", "anything")),
    ("prompt_completion", {"prompt": [HI], "completion": [HELLO]}, PromptCompletion((USER,), (ASSISTANT,))),
    ("prompt_completion", {"prompt": "Hi", "completion": [HELLO]}, PromptCompletion((USER,), (ASSISTANT,))),
    ("prompt_completion", {"prompt": [HI], "completion": "Hello!"}, PromptCompletion((USER,), (ASSISTANT,))),
    (
        "prompt_completion",
        {"prompt": json.dumps([HI]), "completion": json.dumps([HELLO])},
        PromptCompletion((USER,), (ASSISTANT,)),
    ),
    ("alpaca", {"instruction": "Hi", "output": "Hello!"}, Chat((USER, ASSISTANT))),
    ("alpaca", {"instruction": "Hi", "input": "", "system": "", "output": "Hello!"}, Chat((USER, ASSISTANT))),
    (
        "alpaca",
        {"instruction": "Add", "input": "2 and 3", "output": "5"},
        Chat((Message("user", "Add\n\n2 and 3"), Message("assistant", "5"))),
    ),
    (
        "alpaca",
        {"Instruction": "And now?", "output": "7", "system": "Be brief.", "history": [["Hi", "Hello!"]]},
        Chat(
            (Message("system", "Be brief."), USER, ASSISTANT, Message("user", "And now?"), Message("assistant", "7")),
        ),
    ),
    ("chat", {"messages": [HI, HELLO]}, Chat((USER, ASSISTANT))),
    ("chat", {"messages": json.dumps([HI, HELLO])}, Chat((USER, ASSISTANT))),
    ("chat", {"messages": [HI, HELLO], "system": "Be kind."}, Chat((Message("system", "Be kind."), USER, ASSISTANT))),
    (
        "chat",
        {"messages": [{"role": "developer", "content": ""}, {"role": "User", "content": "Hi"}, HELLO]},
        Chat((Message("system", ""), USER, ASSISTANT)),
    ),
    (
        "chat",
        {"messages": [HI, {**HELLO, "weight": 0}, HI, {**HELLO, "weight": 1}]},
        Chat((USER, Message("assistant", "Hello!", weight=0), USER, ASSISTANT)),
    ),
    (
        "chat",
        {"messages": [HI, {**HELLO, "thinking": "A greeting."}]},
        Chat((USER, Message("assistant", "Hello!", "A greeting."))),
    ),
    (
        "chat",
        {
            "messages": [
                {"role": "user", "content": [{"type": "text", "text": "H"}, {"type": "text", "text": "i"}]},
                HELLO,
            ]
        },
        Chat((USER, ASSISTANT)),
    ),
    (
        "chat",
        {
            "messages": [
                {**HI, "name": "Ann", "tool_calls": None},
                {
                    "role": "assistant",
                    "content": None,
                    "tool_calls": [
                        {"id": "c1", "type": "function", "function": {"name": "add", "arguments": '{"a": 2, "b": 3}'}}
                    ],
                },
                {"role": "tool", "tool_call_id": "c1", "content": ""},
                {**HELLO, "tool_calls": []},
            ],
            "tools": json.dumps([TOOL]),
            "parallel_tool_calls": False,
        },
        Chat(
            (
                Message("user", "Hi", name="Ann"),
                Message("assistant", tool_calls=(ToolCall("function", ADD.function, "c1"),)),
                Message("tool", "", tool_call_id="c1"),
                ASSISTANT,
            ),
            (TOOL,),
        ),
    ),
    (
        "chat",
        {
            "messages": [
                HI,
                {"role": "assistant", "content": None, "function_call": {"name": "add", "arguments": {"a": 2, "b": 3}}},
                {"role": "function", "name": "add", "content": "5"},
                HELLO,
            ],
            "functions": [TOOL["function"]],
        },
        Chat((USER, Message("assistant", tool_calls=(ADD,)), Message("tool", "5", name="add"), ASSISTANT), (TOOL,)),
    ),
    (
        "chat",
        {
            "messages": [HI, {"role": "assistant", "tool_calls": [{"name": "add", "parameters": {"a": 2, "b": 3}}]}],
            "tools": [{"name": "add", "input_schema": {"type": "object"}}],
        },
        Chat((USER, Message("assistant", tool_calls=(ADD,))), (TOOL,)),
    ),
    (
        "chat",
        {"messages": [HI, {"role": "assistant", "tool_calls": [{"name": "now", "arguments": ""}]}]},
        Chat((USER, Message("assistant", tool_calls=(ToolCall("function", Function("now", {})),)))),
    ),
    (
        "sharegpt",
        {"conversations": [{"from": "human", "value": "Hi"}, {"from": "gpt", "value": "Hello!"}], "system": "S"},
        Chat((Message("system", "S"), USER, ASSISTANT)),
    ),
    ("sharegpt", {"conversation": [HI, HELLO]}, Chat((USER, ASSISTANT))),
    (
        "sharegpt",
        {"conversations": [{"Speaker": "prompter", "Text": "Hi"}, {"Speaker": "BOT", "Text": "Hello!"}]},
        Chat((USER, ASSISTANT)),
    ),
    (
        "sharegpt",
        {
            "conversations": [
                {"from": "human", "value": "Hi"},
                {"from": "function_call", "value": '{"name": "add", "arguments": {"a": 2, "b": 3}}'},
                {"from": "observation", "value": "5"},
                {"from": "function", "value": '[{"name": "add", "arguments": {"a": 2, "b": 3}}]'},
                {"from": "tool", "value": "5"},
                {"from": "gpt", "value": "Hello!"},
            ],
            "tools": json.dumps([TOOL["function"]]),
        },
        Chat(
            (
                USER,
                Message("assistant", tool_calls=(ADD,)),
                Message("tool", "5"),
                Message("assistant", tool_calls=(ADD,)),
                Message("tool", "5"),
                ASSISTANT,
            ),
            (TOOL,),
        ),
    ),
    ("preference", {"prompt": "Hi", "chosen": "Hello!", "rejected": "No."}, Preference("Hi", "Hello!", "No.")),
    ("preference", {"question": "Hi", "chosen": "Hello!", "rejected": "No."}, Preference("Hi", "Hello!", "No.")),
    (
        "preference",
        {"prompt": [HI], "chosen": [HELLO], "rejected": [BAD], "tools": [TOOL]},
        Preference((USER,), (ASSISTANT,), (Message("assistant", "Go away."),), (TOOL,)),
    ),
    (
        "preference",
        {"prompt": "Hi", "chosen": [HI, HELLO], "rejected": [HI, BAD], "messages": [HI, HELLO], "score_chosen": 8.5},
        Preference((USER,), (ASSISTANT,), (Message("assistant", "Go away."),)),
    ),
    (
        "preference",
        {"chosen": [HI, HELLO, HI, HELLO], "rejected": [HI, HELLO, HI, BAD], "system": "S"},
        Preference((Message("system", "S"), USER, ASSISTANT, USER), (ASSISTANT,), (Message("assistant", "Go away."),)),
    ),
    (
        "preference",
        {"system": "S", "question": "Hi", "chosen": "Hello!", "rejected": "Go away."},
        Preference((Message("system", "S"), USER), (ASSISTANT,), (Message("assistant", "Go away."),)),
    ),
    (
        "preference",
        {"instruction": "Add", "input": "2 and 3", "chosen": "5", "rejected": "6"},
        Preference((Message("user", "Add\n\n2 and 3"),), (Message("assistant", "5"),), (Message("assistant", "6"),)),
    ),
    (
        "preference",
        {
            "conversations": [{"from": "human", "value": "Hi"}],
            "chosen": {"from": "gpt", "value": "Hello!"},
            "rejected": {"from": "gpt", "value": "Go away."},
        },
        Preference((USER,), (ASSISTANT,), (Message("assistant", "Go away."),)),
    ),
    (
        "openai_preference",
        {
            "input": {"messages": [HI], "tools": [TOOL], "parallel_tool_calls": True},
            "preferred_output": [HELLO],
            "non_preferred_output": [BAD],
        },
        Preference((USER,), (ASSISTANT,), (Message("assistant", "Go away."),), (TOOL,)),
    ),
    (
        "openai_preference",
        {"input": {"messages": [HI]}, "preferred_completion": [HELLO], "non_preferred_completion": [BAD]},
        Preference((USER,), (ASSISTANT,), (Message("assistant", "Go away."),)),
    ),
]


@pytest.mark.parametrize(("name", "raw", "row"), ROWS, ids=[f"{name}-{n}" for n, (name, _, _) in enumerate(ROWS)])
def test_a_row_that_people_have_is_read_as_what_it_says(tmp_path: Path, name: str, raw: object, row: Row) -> None:
    rows, report = _read(tmp_path, raw)

    assert rows == [row]
    assert report.files[0].format == name


def _chat(*turns: object, **further: object) -> dict[str, object]:
    return {"messages": list(turns), **further}


def _calling(call: object) -> dict[str, object]:
    return _chat(HI, {"role": "assistant", "tool_calls": [call]})


def _pair(**columns: object) -> dict[str, object]:
    return {"prompt": "Hi", "chosen": "Hello!", "rejected": "No.", **columns}


IMAGE = {"role": "user", "content": [{"type": "text", "text": "See:"}, {"type": "image_url", "image_url": {}}]}
DEEP: Any = "bottom"
for _ in range(70):
    DEEP = [DEEP]

MISTAKES: list[tuple[object, str, str, str]] = [
    # not a row
    ("Hi", "data_type", "", """must be an object such as {"text": "..."}, but is 'Hi'"""),
    (7, "data_type", "", "but is 7"),
    (None, "data_type", "", "but is null"),
    # no format
    ({}, "unknown_format", "", "no format has no keys; use text; prompt and completion;"),
    ({"txt": "Hi", "label": 1}, "unknown_format", "", "no format has the keys 'txt', 'label'; use text; prompt and"),
    ({"prompt": "Hi"}, "unknown_format", "", "use text; prompt and completion"),
    ({"text": None}, "unknown_format", "", "no format has no keys"),
    (
        {"question": "Hi", "answer": "Hello!"},
        "unknown_format",
        "",
        'send columns {"prompt": "question", "completion": "answer"}',
    ),
    (
        {"Prompt": "Hi", "Response": "Hello!"},
        "unknown_format",
        "",
        'send columns {"prompt": "Prompt", "completion": "Response"}',
    ),
    (
        {"input": "Hi", "output": "Hello!"},
        "unknown_format",
        "",
        'send columns {"prompt": "input", "completion": "output"}',
    ),
    (
        {"instruction": "Hi", "context": "", "response": "Hello!"},
        "unknown_format",
        "",
        'send columns {"instruction": "instruction", "output": "response", "input": "context"}',
    ),
    (
        {"system_prompt": "S", "question": "Hi", "response": "Hello!"},
        "unknown_format",
        "",
        'send columns {"instruction": "question", "output": "response", "system": "system_prompt"}',
    ),
    ({"text": "Hi", "Text": "Hello!"}, "duplicate_key", "", "'text' and 'Text' are the same key: keep one"),
    # texts
    ({"text": "  \n"}, "empty_text", "text", "is empty: write the text, or remove the row"),
    ({"text": 7}, "wrong_type", "text", "must be a text, but is 7: put it in quotes"),
    ({"text": ["Hi"]}, "wrong_type", "text", "must be a text, but is a list"),
    # prompt and completion
    ({"prompt": "Hi", "completion": ""}, "missing_content", "completion", "is empty: write the answer, or remove"),
    ({"prompt": [HI], "completion": ""}, "missing_content", "completion", "is empty: write the answer, or remove"),
    ({"prompt": "Hi", "completion": [HI]}, "unrecognized_role", "completion[0].role", "move it to the prompt"),
    ({"prompt": [HI, HELLO], "completion": [HELLO]}, "misplaced_key", "prompt", "move it to the answer"),
    ({"prompt": 1, "completion": "2"}, "wrong_type", "prompt", "must be a text or a list of messages, but is 1: put"),
    ({"prompt": [], "completion": "2"}, "missing_messages_list", "prompt", "but is an empty list"),
    ({"prompt": "Hi", "completion": "Yo", "system": "S"}, "misplaced_key", "system", "send columns with instruction"),
    ({"prompt": "Hi", "completion": "Yo", "tools": [TOOL]}, "misplaced_key", "tools", "write prompt and completion as"),
    # Alpaca
    ({"instruction": "Hi", "output": ""}, "missing_content", "output", "is empty: write the answer, or remove the row"),
    ({"instruction": " ", "output": "Yo"}, "missing_content", "instruction", "is empty: write what is asked"),
    (
        {"instruction": "Hi", "input": {"a": 1}, "output": "Yo"},
        "wrong_type",
        "input",
        "must be a text, but is an object",
    ),
    (
        {"instruction": "Hi", "output": "Yo", "history": [["Hi"]]},
        "wrong_type",
        "history[0]",
        "must be a pair of texts: [question, answer]",
    ),
    # messages
    (
        _chat(),
        "missing_messages_list",
        "messages",
        'must be a list of {"role", "content"} objects, but is an empty list',
    ),
    ({"messages": {"role": "user"}}, "missing_messages_list", "messages", "but is an object"),
    (
        {"messages": "Hi"},
        "wrong_type",
        "messages",
        "must be a list of messages, but is the text 'Hi', which is not JSON",
    ),
    ({"messages": str([HI, HELLO])}, "wrong_type", "messages", "is a Python literal: write a list of messages as JSON"),
    (_chat("Hi", "Hello!"), "wrong_type", "messages[0]", "must be an object with role and content, but is 'Hi'"),
    (_chat({"content": "Hi"}, HELLO), "message_missing_key", "messages[0]", 'say who speaks, such as "role": "user"'),
    (_chat(HI, {"role": "assistant"}), "message_missing_key", "messages[1]", "has no content: write the turn's text"),
    (
        _chat(HI, {**HELLO, "emotion": "joy"}),
        "message_unrecognized_key",
        "messages[1].emotion",
        "remove it, or use role,",
    ),
    (_chat(HI, {**HELLO, "value": "Hello!"}), "duplicate_key", "messages[1].value", "both say the content: keep one"),
    (
        _chat(HI, HELLO, {"role": "humann", "content": "x"}),
        "unrecognized_role",
        "messages[2].role",
        "use 'system', 'user'",
    ),
    (_chat({"role": 1, "content": "Hi"}, HELLO), "unrecognized_role", "messages[0].role", "1 is not a role"),
    (
        {"conversations": [{"from": "narrator", "value": "Once"}, {"from": "gpt", "value": "upon"}]},
        "unrecognized_role",
        "conversations[0].from",
        "'narrator' is not a role",
    ),
    (
        _chat(HI, {"role": "assistant", "content": ""}),
        "missing_content",
        "messages[1].content",
        "is empty: write the text",
    ),
    (_chat(HI, {"role": "assistant", "content": None}), "missing_content", "messages[1].content", "is null: write the"),
    (_chat({"role": "user", "content": ""}, HELLO), "missing_content", "messages[0].content", "is empty"),
    (_chat({"role": "user", "content": 42}, HELLO), "missing_content", "messages[0].content", "is 42, not a text"),
    (
        _chat({"role": "user", "content": {"text": "Hi"}}, HELLO),
        "missing_content",
        "messages[0].content",
        "is an object",
    ),
    (
        _chat(IMAGE, HELLO),
        "missing_content",
        "messages[0].content[1]",
        "is 'image_url', but only texts can be trained on",
    ),
    (_chat(HI), "example_missing_assistant_message", "messages", "nothing to learn: add the answer, or remove the row"),
    (_chat(HI, {**HELLO, "weight": 0}), "nothing_to_learn", "messages", "give one weight 1, or remove the row"),
    (_chat(HI, {**HELLO, "weight": 0.5}), "wrong_weight", "messages[1].weight", "must be 1 (learned) or 0 (only read)"),
    (_chat(HI, {**HELLO, "weight": "1"}), "wrong_weight", "messages[1].weight", "but is '1'"),
    (_chat(HI, {**HELLO, "weight": True}), "wrong_weight", "messages[1].weight", "but is true"),
    (_chat({**HI, "weight": 1}, HELLO), "misplaced_key", "messages[0].weight", "belongs to an assistant's turn"),
    (
        _chat({**HI, "thinking": "Hm"}, HELLO),
        "misplaced_key",
        "messages[0].thinking",
        "but this is a user's: remove it",
    ),
    (
        _chat(HI, {**HELLO, "tool_call_id": "c"}),
        "misplaced_key",
        "messages[1].tool_call_id",
        "belongs to a tool's turn",
    ),
    (
        _chat({"role": "system", "content": "S"}, HI, HELLO, system="T"),
        "misplaced_key",
        "system",
        "keep one of the two",
    ),
    (_chat(HI, {**HELLO, "name": ["Ann"]}), "wrong_type", "messages[1].name", "must be a text, but is a list"),
    # tools
    (_calling("add(2, 3)"), "wrong_tool_call", "messages[1].tool_calls[0]", "must be a call such as"),
    (
        _calling({"function": {"arguments": {}}}),
        "wrong_tool_call",
        "messages[1].tool_calls[0].function.name",
        "needs the",
    ),
    (
        _calling({"name": "add", "args": {}}),
        "wrong_tool_call",
        "messages[1].tool_calls[0]",
        "has the unknown key 'args'",
    ),
    (_calling({"type": "retrieval"}), "wrong_tool_call", "messages[1].tool_calls[0].type", "must be 'function'"),
    (
        _calling({"name": "add", "arguments": "2, 3"}),
        "wrong_type",
        "messages[1].tool_calls[0].arguments",
        "must be the call's arguments, but is the text '2, 3', which is not JSON",
    ),
    (
        _calling({"name": "add", "arguments": "{'a': 2}"}),
        "wrong_type",
        "messages[1].tool_calls[0].arguments",
        "is a Python literal: write the call's arguments as JSON, with json.dumps",
    ),
    (
        _calling({"name": "add", "arguments": [2, 3]}),
        "wrong_type",
        "messages[1].tool_calls[0].arguments",
        'must be an object such as {"city": "Rome"}, but is a list',
    ),
    (
        _calling({"name": "add", "arguments": {"a": DEEP}}),
        "too_deep",
        "messages[1].tool_calls[0].arguments",
        "flatten it",
    ),
    (
        _chat(HI, {"role": "assistant", "tool_calls": {}, "content": ""}),
        "missing_content",
        "messages[1].content",
        "is empty",
    ),
    (
        _chat(HI, {**HELLO, "tool_calls": {"name": "add"}}),
        "wrong_tool_call",
        "messages[1].tool_calls",
        "must be a list of",
    ),
    (_chat(HI, HELLO, tools="add, subtract"), "wrong_type", "tools", "must be a list of tools, but is the text"),
    (_chat(HI, HELLO, tools={"name": "add"}), "wrong_tools", "tools", "must be a list of tools such as"),
    (_chat(HI, HELLO, tools=[{"description": "adds"}]), "wrong_tools", "tools[0]", "must be a function: write"),
    (_chat(HI, HELLO, tools=[{"name": ""}]), "wrong_tools", "tools[0].function.name", "needs the name of the function"),
    (
        {"conversations": [{"from": "human", "value": "Hi"}, {"from": "function_call", "value": "add(2, 3)"}]},
        "wrong_type",
        "conversations[1].value",
        "must be one call,",
    ),
    (_chat(HI, {"role": "tool_call", "content": "[]"}), "wrong_tool_call", "messages[1].content", "write the call"),
    # preferences
    ({"chosen": "Hello!", "rejected": "No."}, "missing_prompt", "", "add it, or write chosen and rejected as whole"),
    (_pair(prompt="", input="Hi"), "missing_prompt", "", 'if it is input, send columns {"prompt": "input", "chosen"'),
    (_pair(prompt=""), "missing_prompt", "", "the row has no prompt: add it"),
    (
        _pair(rejected="Hello!"),
        "identical_answers",
        "rejected",
        "is the same as chosen: remove the row, or write a worse",
    ),
    (_pair(rejected=""), "missing_content", "rejected", "is empty: write the answer"),
    (_pair(rejected=[BAD]), "wrong_type", "chosen", "must be like rejected: both texts, or both lists of messages"),
    (_pair(chosen=[HI, HELLO], rejected=[HI, HELLO]), "identical_answers", "rejected", "is the same as chosen"),
    (
        _pair(prompt="Yo", chosen=[HI, HELLO], rejected=[HI, BAD]),
        "different_prompt",
        "prompt",
        "remove it, or write only",
    ),
    (
        {"chosen": [HI, HELLO], "rejected": [{"role": "user", "content": "Yo"}, BAD]},
        "different_prompt",
        "chosen[0]",
        "both must be the same up to the answer",
    ),
    (_pair(tools=[TOOL]), "misplaced_key", "tools", "write prompt, chosen and rejected as lists of messages"),
    (
        {"input": "Hi", "preferred_output": [HELLO], "non_preferred_output": [BAD]},
        "wrong_type",
        "input",
        "must be an object with messages, but is the text 'Hi'",
    ),
    (
        {"input": {"messages": [HI]}, "preferred_output": [HI], "non_preferred_output": [BAD]},
        "unrecognized_role",
        "preferred_output[0].role",
        "must be the assistant's turn, but is the user's",
    ),
    (
        {"input": {"messages": [HI], "seed": 1}, "preferred_output": [HELLO], "non_preferred_output": [BAD]},
        "misplaced_key",
        "input.seed",
        "use messages and tools, or remove it",
    ),
]


@pytest.mark.parametrize(
    ("raw", "problem_id", "at", "words"), MISTAKES, ids=[f"{case[1]}-{n}" for n, case in enumerate(MISTAKES)]
)
def test_a_mistake_that_people_make_has_its_sentence(
    tmp_path: Path, raw: object, problem_id: str, at: str, words: str
) -> None:
    file = tmp_path / "data.jsonl"
    file.write_text("\n" + json.dumps(raw) + "\n")
    read = reading.Reading(file)

    with pytest.raises(ServiceError, match="No row can be used"):
        list(read.rows())

    [problem] = read.report.problems
    assert (problem.id, problem.line, problem.at) == (problem_id, 2, at)
    assert words in problem.message


@pytest.mark.parametrize(
    ("value", "words"),
    [
        (float("nan"), "holds nan, which JSON does not have: write it as text"),
        (datetime(2026, 1, 1, tzinfo=UTC), "holds a datetime, which JSON does not have: write it as text"),
        ([b"raw"], "holds a bytes, which JSON does not have: write it as text"),
    ],
)
def test_what_parquet_has_and_json_has_not_is_refused_in_arguments(value: object, words: str) -> None:
    raw = _calling({"name": "add", "arguments": {"a": value}})

    with pytest.raises(Wrong) as wrong:
        formats.convert(raw, formats.Detector().shape_of(raw))

    assert (wrong.value.id, wrong.value.at) == ("wrong_type", "messages[1].tool_calls[0].arguments")
    assert wrong.value.message == words


def test_a_sentence_stays_short_whatever_the_row_holds(tmp_path: Path) -> None:
    long = "x" * 100_000
    rows = [
        long,
        {long: 1},
        {"text": [long]},
        _chat({**HI, long: 1}),
        _chat({"role": long, "content": "Hi"}),
        {"messages": long},
        _calling({"name": "f", long: 1}),
        _calling({"name": "f", "arguments": long}),
        {"input": {long: 1}, "preferred_output": [HELLO], "non_preferred_output": [BAD]},
    ]

    for raw in rows:
        with pytest.raises(ServiceError) as refusal:
            _read(tmp_path, raw)
        assert len(str(refusal.value)) < 500


def test_columns_say_which_column_is_which_key(tmp_path: Path) -> None:
    columns = {"prompt": "question", "completion": "Answer"}

    rows, report = _read(
        tmp_path, {"question": "Hi", "answer": "Hello!", "text": "unused", "completion": "unused"}, columns=columns
    )

    assert rows == [PromptCompletion("Hi", "Hello!")]
    assert report.files[0].detected_by == "keys 'question' and 'answer'"
    assert report.unused_keys == {"text": 1, "completion": 1}


def test_a_row_without_a_column_that_columns_names_says_which(tmp_path: Path) -> None:
    columns = {"prompt": "question", "completion": "answer"}

    _, report = _read(tmp_path, {"question": "Hi", "answer": "Yo"}, {"question": "Hi", "reply": "Yo"}, columns=columns)

    [problem] = report.problems
    assert (problem.id, problem.line) == ("missing_column", 2)
    assert problem.message == "the row has no 'answer', which columns names; it has 'question', 'reply'"


def test_a_mistake_is_placed_by_the_files_own_spelling(tmp_path: Path) -> None:
    _, report = _read(tmp_path, {"text": "used"}, {"Text": 1})
    _, mapped = _read(tmp_path, {"body": "used"}, {"body": 1}, columns={"text": "body"})

    assert [problem.at for problem in (*report.problems, *mapped.problems)] == ["Text", "body"]


@pytest.mark.parametrize(
    ("columns", "words"),
    [
        ({"question": "q", "anwser": "a"}, "columns: 'anwser' is no key of a format; use text; prompt and completion"),
        ({"prompt": "question"}, "columns: 'prompt' alone makes no row"),
        ({"prompt": "a", "completion": "a"}, "columns: one column is named for two keys"),
    ],
)
def test_columns_that_make_no_row_are_refused(tmp_path: Path, columns: dict[str, str], words: str) -> None:
    with pytest.raises(ServiceError, match=words.replace("?", r"\?")):
        _read(tmp_path, {"text": "Hi"}, columns=columns)


def test_two_formats_in_one_file_are_told_with_both_lines(tmp_path: Path) -> None:
    rows, report = _read(
        tmp_path,
        {"neither": 1},
        {"text": "one"},
        {"messages": [HI, HELLO]},
        {"conversations": [HI, HELLO]},
        {"text": "2"},
    )

    assert rows == [Text("one"), Text("2")]
    assert report.problem_counts == {"unknown_format": 1, "mixed_formats": 2}
    what = "by its key '{}' with role/content, but the file is text since line 2: keep each format in a file of its own"
    assert [str(problem) for problem in report.problems[1:]] == [
        f"data.jsonl line 3: is chat {what.format('messages')}",
        f"data.jsonl line 4: is sharegpt {what.format('conversations')}",
    ]


@pytest.mark.parametrize(
    ("raw", "words"),
    [
        ({"text": "Hi"}, "key 'text'"),
        ({"Prompt": "Hi", "completion": "Yo"}, "keys 'Prompt' and 'completion'"),
        ({"messages": json.dumps([HI, HELLO])}, "key 'messages' with role/content"),
        (
            {"conversations": [{"from": "human", "value": "Hi"}, {"from": "gpt", "value": "Yo"}]},
            "key 'conversations' with from/value",
        ),
    ],
)
def test_the_report_says_what_told_the_format(tmp_path: Path, raw: object, words: str) -> None:
    _, report = _read(tmp_path, raw)

    assert report.files[0].detected_by == words


def test_rows_with_keys_of_their_own_each_are_read(tmp_path: Path) -> None:
    """More shapes than are remembered, and more unused keys than are named."""
    rows, report = _read(tmp_path, *({"text": "Hi", f"key{number}": number} for number in range(2_500)))

    assert len(rows) == 2_500
    assert len(report.unused_keys) == reading.MOST_UNUSED
