"""POST /v1/chat/completions as OpenAI's own client uses it."""

import os
import signal
import threading
from typing import Annotated, Literal

import openai
import pydantic
import pytest
from openai.types.chat import ChatCompletionChunk, ChatCompletionUserMessageParam

from tests.processes import on_linux
from tests.server import Server, wait_until


def test_a_conversation_is_continued(client: openai.OpenAI) -> None:
    answer = client.chat.completions.create(
        model="trained",
        messages=[
            {"role": "developer", "content": "Be brief"},
            {"role": "user", "content": [{"type": "text", "text": "hi"}]},
        ],
        max_completion_tokens=6,
        temperature=0,
        logprobs=True,
        top_logprobs=3,
    )

    [choice] = answer.choices
    assert (answer.object, answer.model, choice.message.role) == ("chat.completion", "trained", "assistant")
    assert choice.logprobs is not None
    assert choice.logprobs.content is not None
    assert "".join(token.token for token in choice.logprobs.content) == choice.message.content
    assert all(len(token.top_logprobs) == 3 for token in choice.logprobs.content)


def test_a_streamed_answer_opens_with_its_role_and_ends_with_its_reason(client: openai.OpenAI) -> None:
    chunks = list(
        client.chat.completions.create(
            model="toy", messages=[{"role": "user", "content": "hi"}], max_tokens=8, stream=True, n=2, seed=1
        )
    )

    for index in (0, 1):
        mine = [chunk.choices[0] for chunk in chunks if chunk.choices[0].index == index]
        assert (mine[0].delta.role, mine[0].finish_reason) == ("assistant", None)
        assert mine[-1].finish_reason in {"length", "stop"}
    assert len({chunk.id for chunk in chunks}) == 1


def test_without_a_number_the_context_ends_the_answer(client: openai.OpenAI) -> None:
    answer = client.chat.completions.create(model="toy", messages=[{"role": "user", "content": "hi"}], seed=5)

    assert answer.usage is not None
    assert answer.usage.total_tokens == 256 or answer.choices[0].finish_reason == "stop"


def test_the_same_answers_come_from_requests_side_by_side(client: openai.OpenAI) -> None:
    def ask(number: int) -> str | None:
        model = ("toy", "trained")[number % 2]
        answer = client.chat.completions.create(
            model=model,
            messages=[{"role": "user", "content": f"Count to {number}"}],
            max_tokens=20,
            temperature=0,
        )
        return answer.choices[0].message.content

    alone = [ask(number) for number in range(8)]
    found: dict[int, str | None] = {}
    threads = [threading.Thread(target=lambda at=at: found.update({at: ask(at)})) for at in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert [found[at] for at in range(8)] == alone


class Cat(pydantic.BaseModel):
    name: Annotated[str, pydantic.Field(max_length=8)]
    age: Annotated[int, pydantic.Field(ge=0, le=30)]
    temper: Literal["mild", "wild"]
    friends: Annotated[list[Literal["Tom", "Ada"]], pydantic.Field(max_length=2)]


def test_an_answer_is_parsed_as_a_model_of_pydantic(client: openai.OpenAI) -> None:
    completion = client.chat.completions.parse(
        model="caller", messages=[{"role": "user", "content": "A cat"}], response_format=Cat, seed=1
    )

    [choice] = completion.choices
    assert choice.finish_reason == "stop"
    assert isinstance(choice.message.parsed, Cat)


def test_an_answer_is_a_json_object(serving: Server, client: openai.OpenAI) -> None:
    """Of a model that would rather write brackets."""
    [closing] = serving.http.post(
        f"http://localhost:{serving.port}/tokenize", json={"model": "toy", "prompt": "}"}
    ).json()["tokens"]
    stream = client.chat.completions.create(
        model="toy",
        messages=[{"role": "user", "content": "hi"}],
        response_format={"type": "json_object"},
        logit_bias={str(closing): 100},
        temperature=0,
        stream=True,
    )

    assert "".join(chunk.choices[0].delta.content or "" for chunk in stream) == "{}"


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"functions": []}, "unknown field functions"),
        (
            {"response_format": {"type": "json"}},
            'use "text", "json_object" or "json_schema"',
        ),
        ({"response_format": {"type": "json_schema"}}, "needs its json_schema"),
        ({"response_format": {"type": "text", "json_schema": {"name": "x", "schema": {}}}}, "and only there"),
        (
            {"response_format": {"type": "json_schema", "json_schema": {"name": "x", "schema": {"not": {}}}}},
            "The schema cannot be held: not cannot be held",
        ),
        ({"messages": []}, "messages must have at least 1"),
        ({"max_tokens": 1, "max_completion_tokens": 1}, "give one of them"),
        ({"top_logprobs": 2}, "top_logprobs needs logprobs"),
        ({"stream_options": {"include_usage": True}}, "stream_options needs stream"),
        ({"messages": [{"role": "user", "content": [{"type": "image_url", "image_url": {}}]}]}, "messages"),
    ],
)
def test_what_would_change_the_answer_is_refused_by_name(
    client: openai.OpenAI, fields: dict[str, object], message: str
) -> None:
    with pytest.raises(openai.BadRequestError, match=message):
        client.chat.completions.create(model="toy", messages=[{"role": "user", "content": "hi"}], extra_body=fields)


def test_clients_that_go_away_make_room_for_others(serving: Server, client: openai.OpenAI) -> None:
    """As many completions as there may be, given up after their first tokens: the next request is not refused."""
    for _ in range(5):
        stream = client.completions.create(model="toy", prompt=["x"] * 32, n=4, max_tokens=200, stream=True)
        next(iter(stream))
        stream.close()
        wait_until(lambda: _is_answered(serving), "their places are free")


def _is_answered(serving: Server) -> bool:
    reply = serving.post("/generate", {"prompt": "x", "model_name": "toy", "max_new_tokens": 1})
    assert reply.status_code in {200, 429}
    return reply.status_code == 200


@on_linux
def test_a_stream_whose_worker_dies_ends_in_words(serving: Server, client: openai.OpenAI) -> None:
    def ask(max_tokens: int) -> openai.Stream[ChatCompletionChunk]:
        messages: list[ChatCompletionUserMessageParam] = [{"role": "user", "content": "hi"}]
        return client.chat.completions.create(
            model="endless",
            messages=messages,
            max_tokens=max_tokens,
            n=8,
            stream=True,
            seed=1,
            logit_bias={"0": -100},  # the token that ends a text
        )

    stream = iter(ask(100_000))  # it cannot be whole, in some buffer, when the worker dies
    next(stream)
    [worker] = serving.children()
    os.kill(worker, signal.SIGKILL)

    with pytest.raises(openai.APIError, match="SIGKILL"):
        list(stream)
    assert list(ask(2))[-1].choices[0].finish_reason == "length"
