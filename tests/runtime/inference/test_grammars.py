"""Answers under a grammar: whatever schema is asked for, an answer satisfies it, or the schema is refused in words."""

import json
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import jsonschema_rs
import pytest
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st
from transformers import PreTrainedTokenizerBase

from runtime.inference import schemas
from runtime.inference.engine import Engine
from runtime.inference.grammars import Grammars
from runtime.messages.inference import Generated
from state.errors import ServiceError
from tests import chats, completing
from tests.clueless import Clueless
from tests.server import PATIENCE_S

PERSON = {
    "type": "object",
    "properties": {"name": {"type": "string", "maxLength": 8}, "kind": {"enum": ["cat", "dog"]}},
    "required": ["name", "kind"],
    "additionalProperties": False,
}

Schema = dict[str, Any]
words = st.text('abcé "\\\n/😀', max_size=4)
names = st.sampled_from(["a", "b", "not", 'q"uote', "é😀", ""])
scalars = st.none() | st.booleans() | st.integers(-1000, 1000) | words | st.sampled_from([0.5, -2.25, 1e20])
sizes = st.integers(0, 5)


def _of(kind: str, **keywords: st.SearchStrategy[Any]) -> st.SearchStrategy[Schema]:
    return st.fixed_dictionaries({"type": st.just(kind)}, optional=keywords)


leaves: st.SearchStrategy[Schema] = st.one_of(
    st.just({}),
    _of("null"),
    _of("boolean", description=words),
    _of("string", minLength=sizes, maxLength=sizes),
    _of("string", pattern=st.sampled_from(["^[a-c]{2,4}$", "b+", "^(x|yz)*$", "(?=a)", "^\\d{3}-\\w$", "("])),
    _of("string", format=st.sampled_from(["date", "date-time", "ipv4", "uuid", "odd"])),
    _of(
        "integer", minimum=st.integers(-50, 50), maximum=st.integers(-50, 1000), multipleOf=st.sampled_from([1, 3, 10])
    ),
    _of("number", exclusiveMinimum=st.floats(-5, 5), maximum=st.floats(-5, 50)),
    st.builds(lambda value: {"const": value}, scalars | st.lists(scalars, max_size=2)),
    st.builds(lambda values: {"enum": values}, st.lists(scalars, min_size=1, max_size=3)),
    st.just({"type": ["string", "null"]}),
    st.just({"$ref": "#/$defs/tree"}),
)


def _grown(inner: st.SearchStrategy[Schema]) -> st.SearchStrategy[Schema]:
    return st.one_of(
        _of("array", items=inner, minItems=sizes, maxItems=sizes, uniqueItems=st.just(True)),
        _of("array", prefixItems=st.lists(inner, min_size=1, max_size=2), items=st.just(False), contains=inner),
        _of(
            "object",
            properties=st.dictionaries(names, inner, max_size=3),
            required=st.lists(names, max_size=3, unique=True),
            additionalProperties=st.booleans() | inner,
            minProperties=sizes,
            maxProperties=sizes,
        ),
        _of("object", patternProperties=st.dictionaries(st.sampled_from(["^a", "b$"]), inner, max_size=1)),
        st.builds(lambda some: {"anyOf": some}, st.lists(inner, min_size=1, max_size=3)),
        st.builds(lambda some: {"oneOf": some}, st.lists(inner, min_size=1, max_size=2)),
        st.builds(lambda some: {"allOf": some}, st.lists(inner, min_size=1, max_size=2)),
        st.builds(lambda one, other: {**one, "if": other, "then": one}, inner, inner),
        st.builds(lambda one: {"not": one}, inner),
    )


TREE = {
    "type": "object",
    "properties": {"value": {"type": "integer"}, "children": {"type": "array", "items": {"$ref": "#/$defs/tree"}}},
    "required": ["value"],
    "additionalProperties": False,
}
any_schema = st.builds(lambda one: {**one, "$defs": {"tree": TREE}}, st.recursive(leaves, _grown, max_leaves=6))


@pytest.fixture(scope="module", params=["tiny-python", "llama2"])
def tokenizer(request: pytest.FixtureRequest) -> PreTrainedTokenizerBase:
    """One of bytes, and one of words with blanks as letters."""
    return chats.tokenizer(request.param)


@pytest.fixture(scope="module")
def clueless(tokenizer: PreTrainedTokenizerBase) -> Clueless:
    return Clueless(tokenizer)


@settings(max_examples=100, suppress_health_check=list(HealthCheck), phases=[Phase.generate])
@given(schema=any_schema, seed=st.integers(0, 2**32 - 1))
def test_any_schema_is_held_or_refused(clueless: Clueless, schema: Schema, seed: int) -> None:
    try:
        validator = jsonschema_rs.validator_for(schema, validate_formats=True)
    except jsonschema_rs.ValidationError:
        return  # no schema: a pattern is none, for one
    try:
        text = clueless.writes(schemas.grammar(json.dumps(schema)), seed)
    except ServiceError:
        return

    validator.validate(json.loads(text, parse_float=lambda digits: max(-1e300, min(float(digits), 1e300))))


@pytest.fixture(scope="module")
def engine(tmp_path_factory: pytest.TempPathFactory) -> Engine:
    return Engine(tmp_path_factory.mktemp("bases"))


def test_answers_that_are_held_and_free_ones_share_a_batch(engine: Engine, toy: Path) -> None:
    asked = [
        completing.request(number, toy, None, json_schema=schema, max_new_tokens=tokens, temperature=1.0, seed=7)
        for number, (schema, tokens) in enumerate([(None, 60), (json.dumps(PERSON), 200), (json.dumps(PERSON), 3)])
    ]
    [alone] = completing.together(engine, asked[:1])

    free, held, cut = completing.together(engine, asked)

    assert free == alone
    assert held.finish_reason == "stop"
    jsonschema_rs.validator_for(PERSON).validate(json.loads(held.text))
    assert cut.finish_reason == "length"
    assert cut.text == held.text[: len(cut.text)]


def test_a_grammar_in_the_making_keeps_nobody_waiting(
    engine: Engine, toy: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    may_compile = threading.Event()
    compiled = Grammars._compile

    def slow(self: Grammars, written: Callable[[], str]) -> Any:
        assert may_compile.wait(PATIENCE_S)
        return compiled(self, written)

    monkeypatch.setattr(Grammars, "_compile", slow)
    for number, schema in enumerate(['{"const": [1, 2]}', None]):
        engine.add(completing.request(number, toy, None, json_schema=schema, max_new_tokens=60))

    first: dict[int, Generated] = {}
    while not first:
        first = completing.step(engine)
    may_compile.set()

    assert first.keys() == {1}
    assert json.loads(completing.finish(engine)[0].text) == [1, 2]


@pytest.mark.parametrize(
    ("schema", "message"),
    [
        ({"properties": {"a": {"items": {"uniqueItems": True}}}}, "held at properties.a.items: uniqueItems cannot"),
        ({"anyOf": [{}, {"format": "odd"}]}, "held at anyOf.1.format: there is no format odd"),
        ({"type": "object", "minProperties": 2}, "held at minProperties: names that are not listed"),
        ({"oneOf": [{"type": "integer"}, {"minimum": 3}]}, "held at oneOf: .* use anyOf"),
        ({"enum": ["\x01"]}, "held at enum: .* control character"),
        ({"anyOf": [{"const": [{"a": 1e20}]}]}, "held at anyOf.0.const: numbers beyond 64 bits"),
        ({"type": "strin"}, "held: Invalid type: strin"),
        ({"$ref": "https://example.com/schema"}, "held: .*example.com"),
        ({"x-guidance": {"lenient": True}, "not": {}}, "held: not cannot"),
    ],
)
def test_what_cannot_be_held_is_refused_by_its_place(engine: Engine, toy: Path, schema: Schema, message: str) -> None:
    with pytest.raises(ServiceError, match=message):
        completing.complete(engine, toy, json_schema=json.dumps(schema))
