"""What both kinds of completion have in common in OpenAI's protocol."""

import secrets
import time
from collections.abc import AsyncGenerator, AsyncIterator, Callable, Sequence
from contextlib import aclosing
from typing import Annotated, Any, Literal

import msgspec
from litestar import MediaType, Request, Response
from litestar.response import Stream
from msgspec import Meta, Struct

from handlers._http.bodies import while_connected
from handlers._http.refusals import protocol_error
from handlers._http.sampling import MaxTokens, MinP, RepetitionPenalty, Seed, Stop, Temperature, TopK, TopP
from runtime.messages.inference import Generated, SamplingParameters, TextDelta, ToolUse
from runtime.server.answering.worker import Event
from runtime.server.processes import ProcessDied
from state.errors import ServiceError

END = b"data: [DONE]\n\n"

Penalty = Annotated[float, Meta(ge=-2, le=2)]
Bias = Annotated[float, Meta(ge=-100, le=100)]


class StreamOptions(Struct, forbid_unknown_fields=True):
    include_usage: bool = False


class CompletionSettings(Struct, forbid_unknown_fields=True, kw_only=True):
    """What may be asked of any completion. A field that is not here is refused by its name.

    `user`, `metadata` and `store` are taken and change nothing: there are no accounts, and nothing is stored.
    """

    model: str | None = None
    """An adapter or a base model; left out, the loaded adapter answers."""
    max_tokens: MaxTokens | None = None
    temperature: Temperature | None = None
    top_p: TopP | None = None
    top_k: TopK | None = None
    min_p: MinP | None = None
    n: Annotated[int, Meta(ge=1, le=32)] | None = None
    stop: Stop | list[Stop] | None = None
    seed: Seed | None = None
    presence_penalty: Penalty | None = None
    frequency_penalty: Penalty | None = None
    repetition_penalty: RepetitionPenalty | None = None
    logit_bias: dict[int, Bias] | None = None
    stream: bool | None = None
    stream_options: StreamOptions | None = None
    user: str | None = None
    metadata: dict[str, str] | None = None
    store: bool | None = None

    def sampling(
        self,
        max_new_tokens: int | None,
        top_logprobs: int | None,
        *,
        echo: bool = False,
        json_schema: str | None = None,
        tools: ToolUse | None = None,
    ) -> list[SamplingParameters]:
        """How each of `n` completions of a prompt is made: with seeds that follow on one another.

        Raises ServiceError for options of a stream where none is asked for.
        """
        if self.stream_options is not None and not self.stream:
            raise ServiceError("stream_options needs stream: true")
        stop = [self.stop] if isinstance(self.stop, str) else self.stop or []
        return [
            SamplingParameters(
                max_new_tokens=max_new_tokens,
                temperature=1.0 if self.temperature is None else self.temperature,
                top_p=1.0 if self.top_p is None else self.top_p,
                top_k=self.top_k or 0,
                min_p=self.min_p or 0.0,
                seed=None if self.seed is None else (self.seed + number) % 2**32,
                stop=tuple(stop),
                presence_penalty=self.presence_penalty or 0.0,
                frequency_penalty=self.frequency_penalty or 0.0,
                repetition_penalty=self.repetition_penalty or 1.0,
                logit_bias=self.logit_bias or {},
                json_schema=json_schema,
                tools=tools,
                top_logprobs=top_logprobs,
                echo=echo,
            )
            for number in range(self.n or 1)
        ]

    @property
    def wants_usage(self) -> bool:
        return self.stream_options is not None and self.stream_options.include_usage


class Usage(Struct):
    """Tokens; the prompt's are counted once for all its completions."""

    prompt_tokens: int
    completion_tokens: int
    total_tokens: int

    @classmethod
    def of(cls, generated: Sequence[Generated], completions_a_prompt: int) -> "Usage":
        prompt = sum(one.prompt_tokens for one in generated[::completions_a_prompt])
        completion = sum(one.completion_tokens for one in generated)
        return cls(prompt, completion, prompt + completion)


class Reply(Struct, kw_only=True):
    """Of a whole answer, or of one event of a streamed one."""

    id: str
    object: Literal["chat.completion", "chat.completion.chunk", "text_completion"]
    created: int
    """Unix time."""
    model: str
    choices: list[Any]
    usage: Usage | None = None


class Head(Struct, frozen=True):
    """What all events of one answer begin with."""

    id: str
    created: int
    model: str

    @classmethod
    def new(cls, prefix: str, model: str) -> "Head":
        return cls(f"{prefix}-{secrets.token_hex(12)}", int(time.time()), model)


async def streamed(
    request: Request[Any, Any, Any],
    events: AsyncGenerator[Event],
    choices: Callable[[int, TextDelta | Generated, bool], list[Any]],
    reply: Callable[[list[Any], Usage | None], Reply],
    usage: Callable[[Sequence[Generated]], Usage] | None,
) -> Response[Any]:
    """Server-sent events; `choices` makes the choices of an event from a piece, told whether it is the prompt's first.

    Raises ServiceError when the first piece already fails: the answer is then not a stream. A client that goes away
    closes the events, before the first piece, too.
    """
    first = await while_connected(request, anext(events))

    async def body() -> AsyncIterator[bytes]:
        begun: set[int] = set()
        done: dict[int, Generated] = {}
        try:
            async with aclosing(events):
                next_event: Event | None = first
                while next_event is not None:
                    index, event = next_event
                    for choice in choices(index, event, index not in begun):
                        yield _event(reply([choice], None))
                    begun.add(index)
                    if isinstance(event, Generated):
                        done[index] = event
                    next_event = await anext(events, None)
            if usage is not None:
                yield _event(reply([], usage([done[index] for index in sorted(done)])))
            yield END
        except ServiceError as error:
            yield _event(protocol_error(500 if isinstance(error, ProcessDied) else 400, str(error)))

    return Stream(body(), media_type="text/event-stream", headers={"Cache-Control": "no-store"})


def _event(message: Struct) -> bytes:
    return b"data: " + msgspec.json.encode(message) + b"\n\n"


def answered(reply: Reply) -> Response[Reply]:
    return Response(reply, media_type=MediaType.JSON)
