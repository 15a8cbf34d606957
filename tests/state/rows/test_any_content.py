"""Whatever a file holds, it is read or reported; and a row that was read and written is the same row again."""

import csv
import gzip
import io
import json
from contextlib import suppress
from pathlib import Path
from typing import Any

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from state.errors import ServiceError
from state.rows import formats, row, turns
from state.rows.reading import Reading
from state.rows.row import Chat, Function, Message, Preference, PromptCompletion, Row, Text, ToolCall

NAMES = ("a.jsonl", "a.json", "a.csv", "a.jsonl.gz", "a.json.gz", "a.csv.gz", "a.parquet")
# A health check tells of slow or unlucky generation, which a busy machine's is.
SETTINGS = settings(max_examples=200, suppress_health_check=list(HealthCheck))

SCALARS = st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5)
JSON = st.recursive(
    SCALARS, lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3)
)
CALLS = st.lists(
    st.fixed_dictionaries(
        {"name": st.text(max_size=5)}, optional={"arguments": JSON | st.dictionaries(st.text(), JSON), "id": SCALARS}
    )
    | st.fixed_dictionaries({"function": st.fixed_dictionaries({"name": st.text(), "arguments": st.just("{}")})}),
    max_size=2,
)
ROLES = st.sampled_from([*turns.ROLES, *turns.CALLS, turns.FUNCTION, "narrator"])
TURNS = st.fixed_dictionaries(
    {},
    optional={
        "role": ROLES | SCALARS,
        "content": st.text(max_size=5) | JSON,
        "from": ROLES,
        "value": st.text(max_size=5),
        "weight": st.sampled_from([0, 1, 1.0, True, "1", [0], float("nan")]),
        "tool_calls": CALLS | JSON,
        "function_call": CALLS.map(lambda calls: calls[0] if calls else None),
        "thinking": SCALARS,
        "name": SCALARS,
        "tool_call_id": SCALARS,
    },
)
TALKS = st.lists(TURNS, max_size=4) | st.lists(
    st.fixed_dictionaries(
        {"role": st.sampled_from(["user", "assistant", "tool"]), "content": st.text(max_size=9)},
        optional={"tool_calls": CALLS, "name": st.text(max_size=3)},
    ),
    max_size=4,
)
VALUES = TALKS | TALKS.map(json.dumps) | CALLS | st.text(max_size=9) | JSON
KEYS = st.sampled_from([*sorted(formats.KEYS), "Text", "answer", "", "Unnamed: 0"])
FORMATS = st.sampled_from(formats.FORMATS).flatmap(
    lambda each: st.fixed_dictionaries(
        {group[0]: VALUES for group in each.needs}, optional=dict.fromkeys(each.may_have, VALUES)
    )
)
ROWS = st.lists(FORMATS | st.dictionaries(KEYS, VALUES, max_size=4) | JSON, max_size=3)


def _json(value: object) -> bytes:
    return json.dumps(value).encode()


def _csv(rows: list[Any]) -> bytes:
    text = io.StringIO()
    writer = csv.writer(text)
    for each in rows:
        writer.writerows([list(each), [str(value) for value in each.values()]] if isinstance(each, dict) else [[each]])
    return text.getvalue().encode("utf-8", "surrogatepass")


CONTENTS = (
    st.binary()
    | ROWS.map(_json)
    | ROWS.map(lambda rows: b"\n".join(map(_json, rows)))
    | ROWS.map(_csv)
    | ROWS.map(lambda rows: _json({"data": rows}))
    | st.text().map(lambda text: text.encode("utf-8", "surrogatepass"))
)


@SETTINGS
@given(content=CONTENTS | CONTENTS.map(gzip.compress), cut=st.just(0) | st.integers(0, 50))
def test_whatever_a_file_holds_it_is_read_or_reported(tmp_path: Path, content: bytes, cut: int) -> None:
    for name in NAMES:
        file = tmp_path / name
        file.write_bytes(content[cut % 7 : len(content) - cut])
        read = Reading(file, skip_invalid=True)
        with suppress(ServiceError):  # and nothing else
            for numbered in read.rows():
                assert numbered.line >= 1
        for problem in read.report.problems:
            assert problem.line >= 1
            assert problem.message


@SETTINGS
@given(rows=ROWS)
def test_a_row_that_was_read_and_written_is_read_as_the_same_row(tmp_path: Path, rows: list[object]) -> None:
    file = tmp_path / "a.json"
    file.write_bytes(_json(rows))
    read = []
    with suppress(ServiceError):
        read += [numbered.row for numbered in Reading(file, skip_invalid=True).rows()]

    for one in read:
        _check_written(tmp_path, one)


NAMED = st.text(min_size=1, max_size=5).filter(lambda text: text.strip())
SAID = st.text(min_size=1, max_size=9)
FINITE = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
)
ARGUMENTS = st.dictionaries(st.text(max_size=5), FINITE, max_size=3)
ONE_CALL = st.builds(ToolCall, st.just("function"), st.builds(Function, SAID, ARGUMENTS), st.none() | SAID)
SOME_CALLS = st.lists(ONE_CALL, min_size=1, max_size=2).map(tuple)
TOOLS = st.lists(
    st.builds(lambda name, more: {"type": "function", "function": {**more, "name": name}}, SAID, ARGUMENTS), max_size=2
).map(tuple)
ASKING = (
    st.builds(Message, st.just("user"), SAID, name=st.none() | NAMED)
    | st.builds(Message, st.just("system"), st.text(max_size=9))
    | st.builds(Message, st.just("tool"), st.text(max_size=9), tool_call_id=st.none() | NAMED, name=st.none() | NAMED)
)
ANSWERS = st.builds(Message, st.just("assistant"), SAID, st.none() | NAMED, st.just(()) | SOME_CALLS) | st.builds(
    Message, st.just("assistant"), st.none() | st.text(max_size=9), st.none() | NAMED, SOME_CALLS
)
UNLEARNED = st.builds(Message, st.just("assistant"), SAID, weight=st.just(0))
PROMPTS = st.builds(lambda before, last: (*before, last), st.lists(ASKING | ANSWERS | UNLEARNED, max_size=3), ASKING)
REPLIES = st.builds(lambda first, more: (first, *more), ANSWERS, st.lists(ASKING | ANSWERS | UNLEARNED, max_size=2))
CANONICAL = (
    st.builds(Text, NAMED)
    | st.builds(PromptCompletion, st.text(max_size=9), SAID)
    | st.builds(PromptCompletion, PROMPTS, REPLIES, TOOLS)
    | st.builds(lambda asked, answer, tools: Chat(asked + answer, tools), PROMPTS | st.just(()), REPLIES, TOOLS)
    | st.builds(Preference, NAMED, SAID, SAID).filter(lambda pair: pair.chosen != pair.rejected)
    | st.builds(Preference, PROMPTS, REPLIES, REPLIES, TOOLS).filter(lambda pair: pair.chosen != pair.rejected)
)


@SETTINGS
@given(one=CANONICAL)
def test_every_row_is_read_from_its_canonical_form(tmp_path: Path, one: Row) -> None:
    _check_written(tmp_path, one)


def _check_written(folder: Path, one: Row) -> None:
    file = folder / "train.jsonl"
    file.write_bytes(row.encode(one) + b"\n")
    read = Reading(file)

    [again] = read.rows()

    assert again.row == row.decode(row.encode(one)) == one
    assert read.report.unused_keys == {}
