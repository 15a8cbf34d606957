"""Which format a row has, and what the row is.

A row's keys decide, whatever their case: the first format of the table whose keys it has. A key whose value is null
counts as absent. Where no format matches, the refusal names the mapping of columns that would make one.
"""

import re
from collections.abc import Callable, Mapping
from typing import Literal

from msgspec import Struct

from state.errors import ServiceError
from state.rows import preferences, tools, turns, values
from state.rows.problems import Wrong, either, read_at, shown
from state.rows.row import Chat, Message, Messages, Row, Text

Kind = Literal["text", "prompt_completion", "chat", "preference"]
"""What rows become: all rows of a data set the same."""


class Format(Struct, frozen=True):
    name: str
    makes: Kind
    needs: tuple[tuple[str, ...], ...]
    """Keys that decide; of each group one, which goes by the group's first name from here on."""
    may_have: tuple[str, ...]
    convert: Callable[[dict[str, object]], Row]


class Shape(Struct, frozen=True):
    """What rows with the same keys have in common."""

    format: Format
    columns: dict[str, str]
    """From the format's names to the keys as the file spells them."""
    unused: tuple[str, ...]


def _text(columns: dict[str, object]) -> Text:
    text = read_at("text", values.text, columns["text"])
    if not text.strip():
        raise Wrong("empty_text", "is empty: write the text, or remove the row", "text")
    return Text(text)


def _chat(columns: dict[str, object]) -> Chat:
    name = "conversations" if "conversations" in columns else "messages"
    messages = read_at(name, turns.messages, columns[name])
    if "system" in columns:
        messages = turns.with_system(columns["system"], messages)
    try:
        turns.check_learned(messages)
    except Wrong as wrong:
        raise wrong.under(name) from None
    return Chat(messages, _tools(columns)) if len(columns) > 1 else Chat(messages)


def _alpaca(columns: dict[str, object]) -> Chat:
    asked = Message("user", preferences.question(columns))
    answer = read_at("output", values.text, columns["output"])
    if not answer:
        raise Wrong("missing_content", "is empty: write the answer, or remove the row", "output")
    earlier = read_at("history", _history, columns.get("history"))
    messages = turns.with_system(columns.get("system"), (*earlier, asked, Message("assistant", answer)))
    return Chat(messages, _tools(columns))


def _history(value: object) -> Messages:
    """Alpaca's earlier turns: a list of [question, answer] pairs."""
    if values.is_blank(value):
        return ()
    pairs = values.from_json(value, "a list of [question, answer] pairs")
    if not isinstance(pairs, list):
        raise Wrong("wrong_type", f"must be a list of [question, answer] pairs, but is {shown(pairs)}")
    messages: list[Message] = []
    for index, pair in enumerate(pairs):
        if not isinstance(pair, list) or len(pair) != 2 or not all(isinstance(said, str) and said for said in pair):
            raise Wrong("wrong_type", "must be a pair of texts: [question, answer]", f"[{index}]")
        messages += (Message("user", pair[0]), Message("assistant", pair[1]))
    return tuple(messages)


def _tools(columns: dict[str, object]) -> tuple[dict[str, object], ...]:
    name = "functions" if "functions" in columns else "tools"
    return read_at(name, tools.described, columns.get(name))


FORMATS = (
    Format(
        "openai_preference",
        "preference",
        (
            ("input",),
            ("preferred_output", "preferred_completion"),  # the second as OpenAI called them before
            ("non_preferred_output", "non_preferred_completion"),
        ),
        (),
        preferences.of_openai,
    ),
    Format(
        "preference",
        "preference",
        (("chosen",), ("rejected",)),
        ("prompt", "question", "instruction", "input", "conversations", "conversation", "system", "tools"),
        preferences.of_pair,
    ),
    Format("chat", "chat", (("messages",),), ("system", "tools", "functions", "parallel_tool_calls"), _chat),
    Format("sharegpt", "chat", (("conversations", "conversation"),), ("system", "tools"), _chat),
    Format(
        "prompt_completion",
        "prompt_completion",
        (("prompt",), ("completion",)),
        ("system", "tools"),
        preferences.of_prompt_and_completion,
    ),
    Format("alpaca", "chat", (("instruction",), ("output",)), ("input", "system", "history", "tools"), _alpaca),
    Format("text", "text", (("text",),), (), _text),
)
KEYS = frozenset(key for each in FORMATS for group in (*each.needs, each.may_have) for key in group)

ACCEPTED = (
    "text; prompt and completion; instruction and output; messages; conversations; chosen and rejected; "
    "or input, preferred_output and non_preferred_output"
)
PROMPTS = ("prompt", "question", "query", "problem", "request", "user", "instruction", "input")
COMPLETIONS = ("completion", "answer", "response", "solution", "target", "output", "reply", "assistant")
SYSTEMS = ("system", "system_prompt", "context", "persona")

MOST_SHAPES = 1000  # kept at a time; files have a few, unless their rows have keys of their own


class Detector:
    """Tells the formats of one data set's rows, and remembers the shapes that it has seen."""

    def __init__(self, columns: Mapping[str, str] | None = None) -> None:
        """`columns` says which of the file's columns is which key, such as {"prompt": "question"}; no others are read.

        Raises ServiceError for a mapping that makes no format.
        """
        self._columns = dict(columns) if columns else None
        self._shapes: dict[tuple[str, ...], Shape] = {}
        if self._columns is not None:
            _check_mapping(self._columns)

    def shape_of(self, raw: object) -> Shape:
        """Raises Wrong for a row of no format."""
        if not isinstance(raw, dict):
            raise Wrong("data_type", f'must be an object such as {{"text": "..."}}, but is {shown(raw)}')
        keys = tuple(raw)
        if None in raw.values():
            keys = tuple(key for key, value in raw.items() if value is not None)
        shape = self._shapes.get(keys)
        if shape is None:
            if len(self._shapes) >= MOST_SHAPES:
                self._shapes.clear()
            shape = _detected(keys) if self._columns is None else _mapped(keys, self._columns)
            self._shapes[keys] = shape
        return shape


def convert(raw: dict[str, object], shape: Shape) -> Row:
    """The row of an object that has this shape. Raises Wrong, with the keys as the file spells them."""
    try:
        return shape.format.convert({name: raw[key] for name, key in shape.columns.items()})
    except Wrong as wrong:
        first = re.match(r"\w+", wrong.at)
        if first is not None and first[0] in shape.columns:
            wrong.at = shape.columns[first[0]] + wrong.at[first.end() :]
        raise


def detected_by(raw: dict[str, object], shape: Shape) -> str:
    """What told the format, in words, by a row of this shape."""
    keys = [shape.columns[group[0]] for group in shape.format.needs]
    words = f"{'key' if len(keys) == 1 else 'keys'} {' and '.join(map(repr, keys))}"
    value = raw[keys[0]]
    try:
        value = values.from_json(value, "")
    except Wrong:
        return words
    turn_keys = turns.keys_of(value[0]) if isinstance(value, list) and value else ""
    return f"{words} with {turn_keys}" if turn_keys else words


def _detected(keys: tuple[str, ...]) -> Shape:
    spelled: dict[str, str] = {}
    for key in keys:
        name = key.lower()
        if name in KEYS and name in spelled:
            raise Wrong("duplicate_key", f"{spelled[name]!r} and {key!r} are the same key: keep one of the two")
        spelled[name] = key
    shape = _shape(keys, spelled)
    if shape is None:
        raise Wrong("unknown_format", _unknown(keys, spelled))
    return shape


def _shape(keys: tuple[str, ...], spelled: dict[str, str]) -> Shape | None:
    """The first format whose columns are there."""
    for each in FORMATS:
        columns = _columns_of(each, spelled)
        if columns is not None:
            used = set(columns.values())
            return Shape(each, columns, tuple(key for key in keys if key not in used))
    return None


def _mapped(keys: tuple[str, ...], mapping: dict[str, str]) -> Shape:
    by_name = {key.lower(): key for key in keys}
    spelled = {}
    for name, column in mapping.items():
        key = column if column in keys else by_name.get(column.lower())
        if key is not None:
            spelled[name] = key
    if (shape := _shape(keys, spelled)) is not None:
        return shape
    missing = next(column for name, column in mapping.items() if name not in spelled)
    message = f"the row has no {missing!r}, which columns names; it has {_listed(keys)}"
    raise Wrong("missing_column", message)


def _columns_of(format_: Format, spelled: Mapping[str, str]) -> dict[str, str] | None:
    """From the format's names to the file's keys, if the row has all that the format needs."""
    columns = {}
    for group in format_.needs:
        found = next((key for key in group if key in spelled), None)
        if found is None:
            return None
        columns[group[0]] = spelled[found]
    columns.update((key, spelled[key]) for key in format_.may_have if key in spelled)
    return columns


def _check_mapping(mapping: dict[str, str]) -> None:
    if unknown := mapping.keys() - KEYS:
        raise ServiceError(f"columns: {min(unknown)!r} is no key of a format; use {ACCEPTED}")
    if len(set(mapping.values())) < len(mapping):
        raise ServiceError("columns: one column is named for two keys")
    if all(_columns_of(each, mapping) is None for each in FORMATS):
        raise ServiceError(f"columns: {either(list(mapping))} alone makes no row; use {ACCEPTED}")


def _unknown(keys: tuple[str, ...], spelled: Mapping[str, str]) -> str:
    proposed = _proposed(spelled)
    if proposed:
        pairs = ", ".join(f'"{name}": "{key}"' for name, key in proposed.items())
        return f"no format has the keys {_listed(keys)}; if they mean it, send columns {{{pairs}}}"
    return f"no format has {f'the keys {_listed(keys)}' if keys else 'no keys'}; use {ACCEPTED}"


def _proposed(spelled: Mapping[str, str]) -> dict[str, str]:
    """The mapping that a row with a well-known pair of columns probably needs. It is proposed, never applied."""
    asked = next((spelled[name] for name in PROMPTS if name in spelled), None)
    answer = next((spelled[name] for name in COMPLETIONS if name in spelled and spelled[name] != asked), None)
    if asked is None or answer is None:
        return {}
    system = next((spelled[name] for name in SYSTEMS if name in spelled), None)
    if "instruction" in spelled:
        further = "input" if "input" in spelled else "context"
        return {
            "instruction": spelled["instruction"],
            "output": answer,
            **({"input": spelled[further]} if further in spelled else {}),
        }
    if system is not None:
        return {"instruction": asked, "output": answer, "system": system}
    return {"prompt": asked, "completion": answer}


def _listed(keys: tuple[str, ...]) -> str:
    shown_keys = ", ".join(repr(key[:40]) for key in keys[:10])
    return f"{shown_keys} and {len(keys) - 10} more" if len(keys) > 10 else shown_keys
