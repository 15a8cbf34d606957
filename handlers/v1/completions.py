"""POST /v1/completions: complete prompts, in OpenAI's protocol."""

from typing import Annotated, Any, Literal

from litestar import Request, Response, post
from litestar.di import NamedDependency
from litestar.params import JSONBody
from msgspec import Meta, Struct

from handlers._http.bodies import while_connected
from handlers.v1.protocol import CompletionSettings, Head, Reply, Usage, answered, streamed
from runtime.messages.inference import Generated, TextDelta, TokenLogprob
from runtime.server.answering.worker import Prompt
from runtime.server.service import Service

MAX_TOKENS = 16  # the protocol's default


class CompletionRequest(CompletionSettings, kw_only=True):
    """`prompt` is a text or tokens, or several of either. `logprobs` is how many likely tokens to tell beside each."""

    prompt: str | list[str | int | list[int]]
    logprobs: Annotated[int, Meta(ge=0, le=5)] | None = None
    echo: Literal[False] | None = None
    best_of: Literal[1] | None = None

    def prompts(self) -> list[Prompt]:
        if isinstance(self.prompt, str):
            return [self.prompt]
        tokens = [token for token in self.prompt if isinstance(token, int)]
        if len(tokens) == len(self.prompt):
            return [list(tokens)]
        return [one if isinstance(one, str) else list(one) for one in self.prompt if not isinstance(one, int)]


class CompletionLogprobs(Struct):
    """One entry a token. `text_offset` is where the token begins in the choice's text."""

    tokens: list[str]
    token_logprobs: list[float]
    top_logprobs: list[dict[str, float]]
    text_offset: list[int]

    @classmethod
    def of(cls, tokens: list[TokenLogprob]) -> "CompletionLogprobs":
        offsets, offset = [], 0
        for token in tokens:
            offsets.append(offset)
            offset += len(token.token)
        return cls(
            [token.token for token in tokens],
            [token.logprob for token in tokens],
            [{other.token: other.logprob for other in token.top} for token in tokens],
            offsets,
        )


class Choice(Struct):
    text: str
    index: int
    logprobs: CompletionLogprobs | None = None
    finish_reason: Literal["stop", "length"] | None = None


@post("/completions", status_code=200, opt={"action": "complete"})
async def completions(
    data: JSONBody[CompletionRequest], service: NamedDependency[Service], request: Request[Any, Any, Any]
) -> Response[Any]:
    answering = service.serving.answering(data.model)
    sampling = data.sampling(data.max_tokens or MAX_TOKENS, data.logprobs)
    prompts = [(prompt, each) for prompt in data.prompts() for each in sampling]
    head = Head.new("cmpl", answering.name)

    def reply(choices: list[Any], usage: Usage | None) -> Reply:
        return Reply(
            id=head.id, object="text_completion", created=head.created, model=head.model, choices=choices, usage=usage
        )

    def usage(generated: Any) -> Usage:  # noqa: ANN401
        return Usage.of(generated, len(sampling))

    if data.stream:
        events = service.serving.stream(answering, prompts)
        return await streamed(request, events, _choices, reply, usage if data.wants_usage else None)
    generated = await while_connected(request, service.serving.complete(answering, prompts))
    choices = [Choice(one.text, at, _logprobs(one), one.finish_reason) for at, one in enumerate(generated)]
    return answered(reply(choices, usage(generated)))


def _choices(index: int, event: TextDelta | Generated, is_first: bool) -> list[Choice]:  # noqa: FBT001
    del is_first
    if isinstance(event, Generated):
        return [Choice("", index, finish_reason=event.finish_reason)]
    return [Choice(event.text, index, _logprobs(event))]


def _logprobs(part: TextDelta | Generated) -> CompletionLogprobs | None:
    return None if part.logprobs is None else CompletionLogprobs.of(part.logprobs)
