"""client.fine_tuning.alpha.graders, by OpenAI's own client.

The figures of BLEU, GLEU and ROUGE are those of sacrebleu 2.6.0 (sentences of these words, `effective_order`), nltk
3.10.4 (`sentence_gleu`) and rouge-score 0.1.2; of fuzzy_match, rapidfuzz's.
"""

import json
from typing import Any

import openai
import pytest

SIMILAR = {
    "type": "text_similarity",
    "name": "similar",
    "input": "{{sample.output_text}}",
    "reference": "{{ item.answers[0].text }}",
}
METRICS = ["fuzzy_match", "bleu", "gleu", "rouge_1", "rouge_2", "rouge_3", "rouge_4", "rouge_5", "rouge_l"]
LIKENESS = [
    (
        ("the cat sat on the mat", "the cat is on the mat"),
        (0.930233, 0.379918, 0.5, 0.833333, 0.6, 0.25, 0, 0, 0.833333),
    ),
    (
        ("The Cat, sat!", "the cat sat on the mat"),
        (0.514286, 0.087458, 0.055556, 0.666667, 0.571429, 0.4, 0, 0, 0.666667),
    ),
    (
        ("def add(a, b): return a - b", "def add(a, b): return a + b"),
        (0.962963, 0.826517, 0.833333, 1, 1, 1, 1, 1, 1),
    ),
    (("no", "yes"), (0, 0, 0, 0, 0, 0, 0, 0, 0)),
    (("a a a a", "a b a c a"), (0.75, 0.163723, 0.214286, 0.666667, 0, 0, 0, 0, 0.666667)),
    (("", "x"), (0, 0, 0, 0, 0, 0, 0, 0, 0)),
]


def _check(operation: str, text: str = "{{sample.output_text}}", reference: str = "{{item.answer}}") -> dict[str, Any]:
    return {
        "type": "string_check",
        "name": operation,
        "operation": operation,
        "input": text,
        "reference": reference,
    }


def _multi(formula: str, **graders: dict[str, Any]) -> dict[str, Any]:
    return {"type": "multi", "name": "all", "graders": graders, "calculate_output": formula}


def _reward(client: openai.OpenAI, grader: Any, sample: str, **item: object) -> float:
    return client.fine_tuning.alpha.graders.run(grader=grader, model_sample=sample, item=item).reward


@pytest.mark.parametrize(("texts", "expected"), LIKENESS)
def test_texts_are_as_alike_as_others_measure_them(
    waiting: openai.OpenAI, texts: tuple[str, str], expected: tuple[float, ...]
) -> None:
    found = [
        _reward(waiting, SIMILAR | {"evaluation_metric": metric}, texts[0], answers=[{"text": texts[1]}])
        for metric in METRICS
    ]

    assert found == pytest.approx(expected, abs=1e-6)


def test_strings_are_compared(waiting: openai.OpenAI) -> None:
    asked = [("eq", "Yes"), ("eq", "yes"), ("ne", "yes"), ("like", "Yes."), ("like", "yes."), ("ilike", "yes.")]

    assert [_reward(waiting, _check(how), said, answer="Yes") for how, said in asked] == [1, 0, 1, 1, 0, 1]


def test_a_formula_makes_one_reward_of_several(waiting: openai.OpenAI) -> None:
    name = _check("eq", "{{sample.output_json.name}}", "{{item.name}}")
    grader: Any = _multi("min(name, 1) * 0.5 + -total^2 / 4 + sqrt(4)", name=name, total=_check("ne", "1", "2"))

    valid = waiting.fine_tuning.alpha.graders.with_raw_response.validate(grader=grader)
    found = waiting.fine_tuning.alpha.graders.run(
        grader=grader, model_sample='{"name": {"first": 1}}', item={"name": '{"first":1}'}
    )

    assert json.loads(valid.text) == {"grader": grader}
    assert (found.reward, found.sub_rewards) == (2.25, {"name": 1, "total": 1})
    assert (found.metadata.name, found.metadata.type) == ("all", "multi")
    assert not any(found.metadata.errors.to_dict().values())


def test_what_has_no_score_has_the_reward_0_and_says_why(waiting: openai.OpenAI) -> None:
    parsed = _check("eq", "{{sample.output_json.name}}", "a")
    cases: list[tuple[Any, str, str]] = [
        (_check("eq"), "a", "invalid_variable_error"),
        (parsed, "a", "sample_parse_error"),
        (parsed, "{}", "invalid_variable_error"),
        (SIMILAR | {"evaluation_metric": "bleu", "reference": "x" * 100_001}, "a", "other_error"),
        (_multi("1 / (one - one)", one=_check("eq", "a", "a")), "a", "other_error"),
        (_multi("(0 - one) ^ 0.5", one=_check("eq", "a", "a")), "a", "other_error"),
        (_multi("10 ^ 308 * 10 * one", one=_check("eq", "a", "a")), "a", "other_error"),
    ]

    for grader, sample, why in cases:
        found = waiting.fine_tuning.alpha.graders.run(grader=grader, model_sample=sample)
        assert (found.reward, [name for name, is_so in found.metadata.errors.to_dict().items() if is_so]) == (0, [why])


@pytest.mark.parametrize(
    ("grader", "words"),
    [
        ({"type": "python", "name": "p", "source": "x"}, "runs no code of requests"),
        ({"type": "sum"}, 'use "string_check", "text_similarity", "multi"'),
        (SIMILAR | {"evaluation_metric": "meteor"}, "meteor is not offered: it needs WordNet"),
        (SIMILAR | {"evaluation_metric": "cosine"}, "cosine is not offered: it compares embeddings"),
        (_check("eq", "{{answer}}"), "{{answer}} is no template"),
        (_check("eq", "{{sample.output_tools}}"), "use sample.output_text or sample.output_json"),
        (_multi("one", one={"type": "score_model"}), "grading by a model is not offered"),
        (_multi("one", one={"type": "multi"}), "grader.graders: "),
        (_multi("one + two", one=_check("eq")), "there is no grader 'two'"),
        (_multi("one.real", one=_check("eq")), "use numbers"),
        (_multi("__import__('os').system('ls')", one=_check("eq")), "use numbers"),
        (_multi("sqrt(one, 2)", one=_check("eq")), "sqrt takes one value"),
        (_multi("(" * 400, one=_check("eq")), "use numbers"),
        (_multi("1 +" * 200, one=_check("eq")), "up to 500 characters"),
        (_multi("1", min=_check("eq")), "'min' cannot be a name in the formula"),
    ],
)
def test_a_grader_that_cannot_be_had_is_refused_in_words(waiting: openai.OpenAI, grader: Any, words: str) -> None:
    for ask in (
        lambda: waiting.fine_tuning.alpha.graders.validate(grader=grader),
        lambda: waiting.fine_tuning.alpha.graders.run(grader=grader, model_sample="", item={"answer": ""}),
    ):
        with pytest.raises(openai.BadRequestError) as refused:
            ask()
        assert words in refused.value.message
