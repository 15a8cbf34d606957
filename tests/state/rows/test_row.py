"""A row's canonical form: written, read by the same reader as people's files, and told apart by 8 bytes."""

import msgspec
import pytest

from state.rows import row
from state.rows.row import Chat, Function, Message, Preference, PromptCompletion, Row, Text, ToolCall

HI, HELLO, NO = Message("user", "Hi"), Message("assistant", "Hello!"), Message("assistant", "No.")


@pytest.mark.parametrize(
    ("one", "line"),
    [
        (Text("Hi"), '{"text":"Hi"}'),
        (PromptCompletion("Hi", ""), '{"prompt":"Hi","completion":""}'),
        (
            PromptCompletion((HI,), (HELLO,)),
            '{"prompt":[{"role":"user","content":"Hi"}],"completion":[{"role":"assistant","content":"Hello!"}]}',
        ),
        (
            Chat((HI, Message("assistant", tool_calls=(ToolCall("function", Function("now", {"zone": None})),)))),
            (
                '{"messages":[{"role":"user","content":"Hi"},{"role":"assistant","tool_calls":[{"type":"function",'
                '"function":{"name":"now","arguments":{"zone":null}}}]}]}'
            ),
        ),
        (
            Chat((Message("assistant", "Hi", "Hm", name="Bot", weight=0),), ({"type": "function"},)),
            (
                '{"messages":[{"role":"assistant","content":"Hi","reasoning_content":"Hm","name":"Bot","weight":0}],'
                '"tools":[{"type":"function"}]}'
            ),
        ),
        (Preference("Hi", "Hello!", "No."), '{"prompt":"Hi","chosen":"Hello!","rejected":"No."}'),
    ],
)
def test_the_canonical_form_is_as_people_write_rows(one: Row, line: str) -> None:
    assert row.encode(one).decode() == line
    assert row.decode(line.encode()) == one


@pytest.mark.parametrize("line", [b"{}", b"[]", b'{"text": 1}', b'{"messages": [{"role": "human"}]}', b"{"])
def test_what_is_not_canonical_is_not_decoded(line: bytes) -> None:
    with pytest.raises(msgspec.DecodeError):
        row.decode(line)


def test_equal_rows_have_equal_digests_and_other_rows_have_others() -> None:
    def calling(arguments: dict[str, object]) -> Chat:
        return Chat((HI, Message("assistant", tool_calls=(ToolCall("function", Function("f", arguments)),))))

    rows: list[Row] = [
        Text("Hi"),
        Text("Hi "),
        PromptCompletion("Hi", "Hello!"),
        PromptCompletion((HI,), (HELLO,)),
        Chat((HI, HELLO)),
        Chat((HI, Message("assistant", "Hello!", weight=0))),
        Chat((HI, HELLO), ({"type": "function"},)),
        Preference("Hi", "Hello!", "No."),
        calling({"a": 1, "b": 2}),
    ]

    assert len({row.digest(each) for each in rows}) == len(rows)
    assert {len(row.digest(each)) for each in rows} == {8}
    assert row.digest(calling({"a": 1, "b": 2})) == row.digest(calling({"b": 2, "a": 1}))


def test_rows_that_ask_the_same_have_the_same_prompt_digest() -> None:
    asking: list[Row] = [
        Chat((HI, HELLO)),
        Chat((HI, NO)),
        Preference((HI,), (HELLO,), (NO,)),
        PromptCompletion((HI,), (NO,)),
    ]

    assert len({row.prompt_digest(each) for each in asking}) == 1
    assert row.prompt_digest(Chat((HI, HELLO, HI, HELLO))) == row.prompt_digest(Chat((HI, HELLO, HI, NO)))
    assert row.prompt_digest(Chat((HI, HELLO, HI, HELLO))) != row.prompt_digest(Chat((HI, NO, HI, HELLO)))
    assert row.prompt_digest(PromptCompletion("Hi", "a")) == row.prompt_digest(Preference("Hi", "b", "c"))


def test_a_row_that_asks_nothing_has_no_prompt_digest() -> None:
    silent: list[Row] = [Text("Hi"), PromptCompletion("", "Hi"), Chat((HELLO,))]

    for nothing in silent:
        assert row.prompt_digest(nothing) is None
