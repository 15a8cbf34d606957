"""POST /v1/completions: complete prompts, in OpenAI's protocol."""

from typing import Annotated, Any, Literal

from litestar import Request, Response, post
from litestar.di import NamedDependency
from litestar.params import JSONBody
from msgspec import Meta, Struct

from handlers._http.bodies import while_connected
from handlers._http.sampling import MaxTokensOrNone
from handlers.v1.protocol import CompletionSettings, Head, Reply, Usage, answered, streamed
from runtime.messages.inference import Echo, Generated, TextDelta, TokenLogprob
from runtime.server.answering.worker import Prompt
from runtime.server.service import Service
from state.errors import ServiceError

MAX_TOKENS = 16  # the protocol's default


class CompletionRequest(CompletionSettings, kw_only=True):
    """`prompt` is a text or tokens, or several of either. `logprobs` is how many likely tokens to tell beside each.

    `echo` says the prompt before the completion, with `logprobs` of its tokens; `max_tokens` may be 0 then.
    """

    prompt: str | list[str | int | list[int]]
    max_tokens: MaxTokensOrNone | None = None
    logprobs: Annotated[int, Meta(ge=0, le=5)] | None = None
    echo: bool | None = None
    best_of: Literal[1] | None = None

    def prompts(self) -> list[Prompt]:
        """Raises ServiceError for tokens beside texts, or beside lists of tokens."""
        if isinstance(self.prompt, str):
            return [self.prompt]
        tokens = [token for token in self.prompt if isinstance(token, int)]
        if len(tokens) == len(self.prompt):
            return [list(tokens)]
        if tokens:
            raise ServiceError("prompt must be a text, a list of token ids, or a list of either: not a mixture")
        return [one if isinstance(one, str) else list(one) for one in self.prompt if not isinstance(one, int)]

    def max_new_tokens(self) -> int:
        """Raises ServiceError for 0 where the answer would hold nothing."""
        if self.max_tokens == 0 and not self.echo:
            raise ServiceError("max_tokens must be at least 1: 0 needs echo: true")
        return MAX_TOKENS if self.max_tokens is None else self.max_tokens


class CompletionLogprobs(Struct):
    """One entry a token; a prompt's first token has a null. `text_offset` is where the token begins in the whole text.

    The likely tokens hold the token itself, too. Of two that are the same text, such as parts of characters, the
    likelier one has the entry.
    """

    tokens: list[str]
    token_logprobs: list[float | None]
    top_logprobs: list[dict[str, float] | None]
    text_offset: list[int]

    @classmethod
    def of(cls, tokens: list[TokenLogprob], echo: Echo | None) -> "CompletionLogprobs":
        found = cls([], [], [], [])
        if echo is not None and echo.first is not None:
            found._add(echo.first, None, None, 0)
            tokens = echo.logprobs + tokens
        for token in tokens:
            top: dict[str, float] = {}
            for other in token.top:
                top.setdefault(other.token, other.logprob)
            top.setdefault(token.token, token.logprob)
            found._add(token.token, token.logprob, top, token.begin)
        return found

    def _add(self, token: str, logprob: float | None, top: dict[str, float] | None, begin: int) -> None:
        self.tokens.append(token)
        self.token_logprobs.append(logprob)
        self.top_logprobs.append(top)
        self.text_offset.append(begin)


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
    sampling = data.sampling(data.max_new_tokens(), data.logprobs, echo=bool(data.echo))
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
    choices = [Choice(_text(one), at, _logprobs(one), one.finish_reason) for at, one in enumerate(generated)]
    return answered(reply(choices, usage(generated)))


def _choices(index: int, event: TextDelta | Generated, is_first: bool) -> list[Choice]:  # noqa: FBT001
    del is_first
    if isinstance(event, Generated):
        return [Choice("", index, finish_reason=event.finish_reason)]
    return [Choice(_text(event), index, _logprobs(event))]


def _text(part: TextDelta | Generated) -> str:
    return part.text if part.echo is None else part.echo.text + part.text


def _logprobs(part: TextDelta | Generated) -> CompletionLogprobs | None:
    return None if part.logprobs is None else CompletionLogprobs.of(part.logprobs, part.echo)
