"""POST /v1/chat/completions: continue a conversation, in OpenAI's protocol."""

from typing import Annotated, Any, Literal

from litestar import Request, Response, post
from litestar.di import NamedDependency
from litestar.params import JSONBody
from msgspec import Meta, Struct

from handlers._http.bodies import while_connected
from handlers._http.sampling import MaxTokens
from handlers.v1.chat import tools, turns
from handlers.v1.chat.response_format import ResponseFormat
from handlers.v1.chat.tools import ChosenTool, OfferedTool, ToolCall
from handlers.v1.chat.turns import Turn
from handlers.v1.protocol import CompletionSettings, Head, Reply, Usage, answered, streamed
from runtime.messages.inference import Generated, Message, TextDelta, TokenLogprob
from runtime.server.service import Service
from state.errors import ServiceError


class ChatRequest(CompletionSettings, kw_only=True):
    messages: Annotated[list[Turn], Meta(min_length=1)]
    max_completion_tokens: MaxTokens | None = None
    logprobs: bool | None = None
    top_logprobs: Annotated[int, Meta(ge=0, le=20)] | None = None
    response_format: ResponseFormat | None = None
    tools: list[OfferedTool] | None = None
    tool_choice: Literal["none", "auto", "required"] | ChosenTool | None = None
    parallel_tool_calls: bool | None = None

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


class Answer(Struct, omit_defaults=True):
    """`content` is null where there is nothing but calls of tools."""

    role: Literal["assistant"]
    content: str | None
    tool_calls: list[ToolCall] | None = None

    @classmethod
    def of(cls, generated: Generated) -> "Answer":
        calls = tools.whole(generated.calls)
        return cls("assistant", (generated.text or None) if calls else generated.text, calls)


class Delta(Struct, omit_defaults=True):
    role: Literal["assistant"] | None = None
    content: str | None = None
    tool_calls: list[ToolCall] | None = None


FinishReason = Literal["stop", "length", "tool_calls"]


class Choice(Struct):
    index: int
    message: Answer
    logprobs: ChatLogprobs | None
    finish_reason: FinishReason


class ChunkChoice(Struct):
    index: int
    delta: Delta
    logprobs: ChatLogprobs | None = None
    finish_reason: FinishReason | None = None


@post("/chat/completions", status_code=200, opt={"action": "complete"})
async def chat_completions(
    data: JSONBody[ChatRequest], service: NamedDependency[Service], request: Request[Any, Any, Any]
) -> Response[Any]:
    answering = service.serving.answering(data.model)
    messages: list[int | Message] = [*turns.messages(data.messages)]
    sampling = data.sampling(
        data.max_new_tokens(),
        data.logprobs_a_token(),
        json_schema=data.response_format.held_to() if data.response_format else None,
        tools=tools.use_of(data.tools, data.tool_choice, data.parallel_tool_calls),
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
    choices = [Choice(at, Answer.of(one), _logprobs(one), _finish_reason(one)) for at, one in enumerate(generated)]
    return answered(reply(choices, usage(generated)))


def _choices(index: int, event: TextDelta | Generated, is_first: bool) -> list[ChunkChoice]:  # noqa: FBT001
    opening = [ChunkChoice(index, Delta("assistant", ""))] if is_first else []
    if isinstance(event, Generated):
        return [*opening, ChunkChoice(index, Delta(), finish_reason=_finish_reason(event))]
    calls = tools.pieces(event.calls)
    content = (event.text or None) if calls else event.text
    return [*opening, ChunkChoice(index, Delta(content=content, tool_calls=calls), _logprobs(event))]


def _finish_reason(generated: Generated) -> FinishReason:
    return "tool_calls" if generated.calls and generated.finish_reason == "stop" else generated.finish_reason


def _logprobs(part: TextDelta | Generated) -> ChatLogprobs | None:
    return None if part.logprobs is None else ChatLogprobs.of(part.logprobs)
