"""Whatever may be asked of a completion is answered or refused, and nobody else's worker dies of it."""

from typing import Any

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.server import Server

TINY = 5e-324  # the smallest number above 0
FIELDS: dict[str, st.SearchStrategy[Any]] = {
    "temperature": st.sampled_from([0, TINY, 1e-40, 1e-8, 10]) | st.floats(0, 10),
    "top_p": st.sampled_from([TINY, 1e-40, 1]) | st.floats(0, 1, exclude_min=True),
    "presence_penalty": st.floats(-2, 2),
    "frequency_penalty": st.floats(-2, 2),
    "top_k": st.integers(-1, 3000),
    "min_p": st.sampled_from([TINY, 1]) | st.floats(0, 1),
    "repetition_penalty": st.sampled_from([TINY, 1e-8]) | st.floats(0, 10, exclude_min=True),
    "logit_bias": st.dictionaries(st.integers(-1, 2100).map(str), st.floats(-100, 100), max_size=3),
    "seed": st.integers(0, 2**32 - 1),
    "n": st.integers(1, 3),
    "stop": st.text(min_size=1) | st.lists(st.text(min_size=1), max_size=2),
    "logprobs": st.integers(0, 5),
    "echo": st.booleans(),
    "stream": st.booleans(),
}
PROMPTS = st.text(max_size=20) | st.lists(st.integers(-1, 3000), max_size=5)


@settings(
    max_examples=25,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],  # a busy machine is
)
@given(asked=st.fixed_dictionaries({"prompt": PROMPTS}, optional=FIELDS))
def test_any_settings_are_answered_or_refused_in_words(training: Server, asked: dict[str, Any]) -> None:
    reply = training.http.post(
        f"http://localhost:{training.port}/v1/completions", json={"model": "toy", "max_tokens": 2} | asked
    )

    assert reply.status_code in {200, 400}, reply.text
    assert "server_error" not in reply.text
