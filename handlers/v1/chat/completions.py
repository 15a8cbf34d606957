"""POST /v1/chat/completions: continue a conversation, in OpenAI's protocol."""

from typing import Annotated, Any, Literal

import msgspec
from litestar import Request, Response, post
from litestar.di import NamedDependency
from litestar.params import JSONBody
from msgspec import Meta, Struct

from handlers._http.bodies import while_connected
from handlers._http.sampling import MaxTokens
from handlers.v1.protocol import CompletionSettings, Head, Reply, Usage, answered, streamed
from runtime.messages.inference import Generated, Message, TextDelta, TokenLogprob
from runtime.server.service import Service
from state.errors import ServiceError

ANY_JSON_OBJECT = '{"type":"object"}'


class TextPart(Struct, forbid_unknown_fields=True):
    type: Literal["text"]
    text: str


class Turn(Struct, forbid_unknown_fields=True):
    """`developer` is the newer word for `system`."""

    role: Literal["system", "developer", "user", "assistant"]
    content: str | list[TextPart]

    def message(self) -> Message:
        content = self.content if isinstance(self.content, str) else "".join(part.text for part in self.content)
        return Message("system" if self.role == "developer" else self.role, content)


class JsonSchema(Struct, forbid_unknown_fields=True):
    """An answer is held to the schema, `strict` or not."""

    name: Annotated[str, Meta(pattern="^[a-zA-Z0-9_-]{1,64}$")]
    schema: dict[str, Any]
    description: str | None = None
    strict: bool | None = None


class ResponseFormat(Struct, forbid_unknown_fields=True):
    type: Literal["text", "json_object", "json_schema"]
    json_schema: JsonSchema | None = None

    def held_to(self) -> str | None:
        """The schema that an answer is held to, in JSON. Raises ServiceError where it is missing, or one too many."""
        if (self.json_schema is not None) != (self.type == "json_schema"):
            raise ServiceError(
                "response_format needs its json_schema where its type is json_schema, and only there",
                param="response_format",
            )
        if self.json_schema is not None:
            return msgspec.json.encode(self.json_schema.schema).decode()
        return ANY_JSON_OBJECT if self.type == "json_object" else None


class ChatRequest(CompletionSettings, kw_only=True):
    messages: Annotated[list[Turn], Meta(min_length=1)]
    max_completion_tokens: MaxTokens | None = None
    logprobs: bool | None = None
    top_logprobs: Annotated[int, Meta(ge=0, le=20)] | None = None
    response_format: ResponseFormat | None = None

    def logprobs_a_token(self) -> int | None:
        """How many likely tokens to tell beside each. Raises ServiceError for a number of what is not asked for."""
        if self.top_logprobs is not None and not self.logprobs:
            raise ServiceError("top_logprobs needs logprobs: true")
        return (self.top_logprobs or 0) if self.logprobs else None

    def max_new_tokens(self) -> int | None:
        """Without a number the model's context ends the answer. Raises ServiceError for two."""
        if self.max_tokens is not None and self.max_completion_tokens is not None:
            raise ServiceError("max_tokens is the former name of max_completion_tokens: give one of them")
        return self.max_completion_tokens or self.max_tokens


class ChatAlternative(Struct):
    token: str
    logprob: float
    bytes: list[int]


class ChatToken(Struct):
    token: str
    logprob: float
    bytes: list[int]
    top_logprobs: list[ChatAlternative]


class ChatLogprobs(Struct):
    content: list[ChatToken]

    @classmethod
    def of(cls, tokens: list[TokenLogprob]) -> "ChatLogprobs":
        return cls(
            [
                ChatToken(
                    token.token,
                    token.logprob,
                    list(token.token.encode()),
                    [ChatAlternative(other.token, other.logprob, list(other.token.encode())) for other in token.top],
                )
                for token in tokens
            ]
        )


class Answer(Struct):
    role: Literal["assistant"]
    content: str


class Delta(Struct, omit_defaults=True):
    role: Literal["assistant"] | None = None
    content: str | None = None


class Choice(Struct):
    index: int
    message: Answer
    logprobs: ChatLogprobs | None
    finish_reason: Literal["stop", "length"]


class ChunkChoice(Struct):
    index: int
    delta: Delta
    logprobs: ChatLogprobs | None = None
    finish_reason: Literal["stop", "length"] | None = None


@post("/chat/completions", status_code=200, opt={"action": "complete"})
async def chat_completions(
    data: JSONBody[ChatRequest], service: NamedDependency[Service], request: Request[Any, Any, Any]
) -> Response[Any]:
    answering = service.serving.answering(data.model)
    messages: list[int | Message] = [turn.message() for turn in data.messages]
    sampling = data.sampling(
        data.max_new_tokens(),
        data.logprobs_a_token(),
        json_schema=data.response_format.held_to() if data.response_format else None,
    )
    prompts = [(messages, each) for each in sampling]
    head = Head.new("chatcmpl", answering.name)

    def reply(choices: list[Any], usage: Usage | None) -> Reply:
        kind: Any = "chat.completion.chunk" if data.stream else "chat.completion"
        return Reply(id=head.id, object=kind, created=head.created, model=head.model, choices=choices, usage=usage)

    def usage(generated: Any) -> Usage:  # noqa: ANN401
        return Usage.of(generated, len(prompts))

    if data.stream:
        events = service.serving.stream(answering, prompts)
        return await streamed(request, events, _choices, reply, usage if data.wants_usage else None)
    generated = await while_connected(request, service.serving.complete(answering, prompts))
    choices = [
        Choice(at, Answer("assistant", one.text), _logprobs(one), one.finish_reason) for at, one in enumerate(generated)
    ]
    return answered(reply(choices, usage(generated)))


def _choices(index: int, event: TextDelta | Generated, is_first: bool) -> list[ChunkChoice]:  # noqa: FBT001
    opening = [ChunkChoice(index, Delta("assistant", ""))] if is_first else []
    if isinstance(event, Generated):
        return [*opening, ChunkChoice(index, Delta(), finish_reason=event.finish_reason)]
    return [*opening, ChunkChoice(index, Delta(content=event.text), _logprobs(event))]


def _logprobs(part: TextDelta | Generated) -> ChatLogprobs | None:
    return None if part.logprobs is None else ChatLogprobs.of(part.logprobs)
