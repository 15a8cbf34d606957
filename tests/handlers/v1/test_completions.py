"""POST /v1/completions as OpenAI's own client uses it."""

import shutil
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import httpx
import openai
import pytest

from handlers.v1.completions import CompletionLogprobs
from runtime.messages.inference import Alternative, TokenLogprob
from tests.processes import on_linux
from tests.server import Client, Server, wait_until


def test_a_prompt_is_completed_by_the_model_that_each_request_names(serving: Server, client: openai.OpenAI) -> None:
    own = serving.post("/generate", {"prompt": "def f(", "model_name": "toy", "max_new_tokens": 16}).json()

    base, adapter = (
        client.completions.create(model=name, prompt="def f(", temperature=0) for name in ("toy", "trained")
    )

    assert (base.object, base.model, base.choices[0].text) == ("text_completion", "toy", own["text"])
    assert base.usage is not None
    assert (base.usage.prompt_tokens, base.usage.completion_tokens) == (own["prompt_tokens"], 16)
    assert base.choices[0].finish_reason == "length"
    assert adapter.model == "trained"


def test_several_prompts_and_several_completions_have_numbers(client: openai.OpenAI) -> None:
    answer = client.completions.create(model="toy", prompt=["def f(", "x ="], n=2, seed=3, max_tokens=4)
    [alone] = client.completions.create(model="toy", prompt="x =", seed=3, max_tokens=4).choices

    assert [choice.index for choice in answer.choices] == [0, 1, 2, 3]
    assert answer.choices[2].text == alone.text
    assert answer.usage is not None
    assert answer.usage.completion_tokens == 16


def test_each_request_has_its_own_way_to_choose_tokens(client: openai.OpenAI) -> None:
    """What vLLM's clients send in the body, side by side with a request that asks for none of it."""
    greedy = client.completions.create(model="toy", prompt="def f(", temperature=0, max_tokens=8).choices[0].text
    ways: list[dict[str, Any]] = [
        {"temperature": 2, "extra_body": {"top_k": 1}},
        {"temperature": 2, "extra_body": {"min_p": 1}},
        {"temperature": 0, "logit_bias": {"42": 100}},
        {"temperature": 0, "extra_body": {"repetition_penalty": 10}},
        {"temperature": 0},
    ]
    create: Any = client.completions.create

    with ThreadPoolExecutor(len(ways)) as threads:
        asked = [threads.submit(create, model="toy", prompt="def f(", max_tokens=8, **way) for way in ways]
        likeliest, as_likely, biased, varied, plain = [one.result().choices[0].text for one in asked]

    assert likeliest == as_likely == plain == greedy
    assert len(biased) == 8 * len(biased[0])
    assert biased == biased[0] * 8
    assert varied not in {greedy, biased}


def test_a_streamed_completion_is_the_whole_one_in_pieces(client: openai.OpenAI) -> None:
    whole = client.completions.create(model="toy", prompt="def f(", temperature=0, max_tokens=30)

    chunks = list(
        client.completions.create(
            model="toy",
            prompt="def f(",
            temperature=0,
            max_tokens=30,
            stream=True,
            stream_options={"include_usage": True},
        )
    )

    texts = [chunk.choices[0].text for chunk in chunks if chunk.choices]
    assert "".join(texts) == whole.choices[0].text
    assert len([text for text in texts if text]) > 5
    assert chunks[-1].usage == whole.usage
    assert chunks[-2].choices[0].finish_reason == "length"


def test_logprobs_say_how_likely_each_token_was(client: openai.OpenAI) -> None:
    answer = client.completions.create(model="toy", prompt="def f(", temperature=0, max_tokens=5, logprobs=2)

    found = answer.choices[0].logprobs
    assert found is not None
    assert found.tokens is not None
    assert found.token_logprobs is not None
    assert found.top_logprobs is not None
    assert "".join(found.tokens) == answer.choices[0].text
    assert all(max(top.values()) == own for top, own in zip(found.top_logprobs, found.token_logprobs, strict=True))


def test_a_prompt_of_tokens_is_taken_as_it_is(client: openai.OpenAI) -> None:
    """Nothing is put before it, and several have numbers as texts have."""
    answer = client.completions.create(model="toy", prompt=[[5, 6, 7], [8]], temperature=0, max_tokens=3, echo=True)
    alone = client.completions.create(model="toy", prompt=[8], temperature=0, max_tokens=3, echo=True)

    assert answer.usage is not None
    assert (answer.usage.prompt_tokens, answer.usage.completion_tokens) == (4, 6)
    assert answer.choices[1].text == alone.choices[0].text


def test_completions_are_counted_and_timed(client: openai.OpenAI, serving: Server) -> None:
    def figure(name: str) -> float:
        lines = serving.http.get(f"http://localhost:{serving.port}/metrics").text.splitlines()
        return next(float(line.split()[1]) for line in lines if line.startswith(f"{name} "))

    names = (
        "lathe_prompt_tokens_total",
        "lathe_generated_tokens_total",
        "lathe_time_to_first_token_seconds_count",
        "lathe_time_per_output_token_seconds_count",
    )
    before = {name: figure(name) for name in names}

    whole = client.completions.create(model="toy", prompt="def f(", temperature=0, max_tokens=10)
    list(client.completions.create(model="toy", prompt="def f(", temperature=0, max_tokens=10, stream=True))

    assert whole.usage is not None
    assert [figure(name) - before[name] for name in names] == [
        2 * whole.usage.prompt_tokens,
        2 * whole.usage.completion_tokens,
        1,
        1,
    ]
    assert figure("lathe_completions_running") == 0


def test_an_echo_begins_with_the_prompt_whole_or_streamed(client: openai.OpenAI) -> None:
    asked: dict[str, Any] = {"model": "toy", "prompt": "# ü\ndef f(", "temperature": 0, "logprobs": 2}
    completion = client.completions.create(**asked, max_tokens=4)

    whole = client.completions.create(**asked, max_tokens=4, echo=True)
    alone = client.completions.create(**asked, max_tokens=0, echo=True)
    chunks = list(client.completions.create(**asked, max_tokens=4, echo=True, stream=True))

    text, found = whole.choices[0].text, whole.choices[0].logprobs
    assert (alone.choices[0].text, text) == ("# ü\ndef f(", "# ü\ndef f(" + completion.choices[0].text)
    assert "".join(chunk.choices[0].text for chunk in chunks) == text
    assert found is not None
    assert alone.choices[0].logprobs is not None
    pieces: list[Any] = [chunk.choices[0].logprobs for chunk in chunks if chunk.choices[0].logprobs]
    for field in ("tokens", "token_logprobs", "top_logprobs", "text_offset"):
        entries = getattr(found, field)
        assert [entry for piece in pieces for entry in getattr(piece, field)] == entries
        assert getattr(alone.choices[0].logprobs, field) == entries[:-4]
    for token, begin in zip(found.tokens or [], found.text_offset or [], strict=True):
        assert "\ufffd" in token or text[begin:].startswith(token)


def test_of_likely_tokens_with_one_text_the_likeliest_is_told() -> None:
    part = [Alternative("\ufffd", -1.0), Alternative("\ufffd", -2.0), Alternative("x", -3.0)]

    found = CompletionLogprobs.of([TokenLogprob("y", -4.0, part), TokenLogprob("\ufffd", -2.0, part)], None)

    assert found.top_logprobs == [{"\ufffd": -1.0, "x": -3.0, "y": -4.0}, {"\ufffd": -1.0, "x": -3.0}]


@on_linux
def test_more_than_may_be_under_way_is_refused_until_those_who_asked_for_it_go_away(
    start_server: Callable[..., Server], endless: Path
) -> None:
    server = start_server("--slots", "0")
    shutil.copytree(endless, server.root / "models" / "endless")
    one = {"model": "endless", "prompt": "x", "max_tokens": 1}
    never_to_end = {"max_tokens": 100_000, "logit_bias": {"0": -100}}  # without the token that ends a text
    all_there_may_be = one | {"prompt": ["x"] * 128, "stream": True} | never_to_end

    def ask() -> httpx.Response:
        return server.http.post(f"http://localhost:{server.port}/v1/completions", json=one)

    impatient = Client(server, "/completions", all_there_may_be, base="/v1")
    wait_until(lambda: bool(server.children()), "the request is being worked on")
    refused = ask()
    impatient.go_away()

    assert (refused.status_code, refused.headers["Retry-After"]) == (429, "1")
    assert "try again" in refused.text
    wait_until(lambda: ask().status_code == 200, "their places are free")


@pytest.mark.parametrize(
    ("fields", "status", "message"),
    [
        ({"model": "nothing"}, 404, "Model nothing not available"),
        ({"model": None}, 400, "No adapter currently loaded"),
        ({"suffix": "x"}, 400, "unknown field suffix"),
        (
            {"logit_bias": {"2048": 1}},
            400,
            "names a token that the model does not have, 2048: its tokens are 0 to 2047",
        ),
        ({"logit_bias": {"def": 1}}, 400, "each key of logit_bias must be an integer"),
        ({"logit_bias": {"3": 101}}, 400, "logit_bias[...] must be at most 100"),
        ({"top_k": -2}, 400, "top_k must be at least -1"),
        ({"repetition_penalty": 0}, 400, "repetition_penalty must be greater than 0"),
        ({"max_tokens": 0}, 400, "max_tokens must be at least 1: 0 needs echo: true"),
        ({"prompt": [[5], [2048]]}, 400, "does not have, 2048: its tokens are 0 to 2047"),
        ({"prompt": [-1], "echo": True, "stream": True}, 400, "does not have, -1"),
        ({"prompt": ["x", 5]}, 400, "a list of either: not a mixture"),
        ({"prompt": [[5], []]}, 400, "prompt must not be empty"),
        ({"prompt": [5] * 257, "max_tokens": 0, "echo": True}, 400, "the model's context is 256 tokens"),
        ({"n": 0}, 400, "n must be at least 1"),
        ({"max_tokens": 1000}, 400, "the model's context is 256 tokens"),
        ({"prompt": ["x"] * 43, "n": 3}, 400, "may ask for 128 completions, and this is for 129"),
        ({"prompt": []}, 400, "prompt must not be empty"),
        ({"stream": True, "max_tokens": 1000}, 400, "the model's context is 256 tokens"),
    ],
)
def test_refusals_have_the_protocols_shape(
    serving: Server, fields: dict[str, object], status: int, message: str
) -> None:
    reply = serving.http.post(
        f"http://localhost:{serving.port}/v1/completions", json={"model": "toy", "prompt": "x"} | fields
    )

    assert reply.status_code == status
    assert set(reply.json()["error"]) == {"message", "type", "param", "code"}
    assert message in reply.json()["error"]["message"]
