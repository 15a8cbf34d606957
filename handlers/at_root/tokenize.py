"""POST /tokenize: the tokens of a text or of a conversation, as vLLM tells them."""

from typing import Literal

from litestar import post
from litestar.di import NamedDependency
from litestar.params import JSONBody
from msgspec import Struct

from handlers.v1.chat import turns
from handlers.v1.chat.turns import Turn
from runtime.server.service import Service
from state.errors import ServiceError


class TokenizeRequest(Struct, forbid_unknown_fields=True):
    """Either a prompt or messages, whose template writes the special tokens itself."""

    model: str | None = None
    prompt: str | None = None
    messages: list[Turn] | None = None
    add_special_tokens: bool | None = None
    """Of a prompt; true unless it is false."""
    add_generation_prompt: Literal[True] | None = None
    return_token_strs: bool | None = None


class TokenizeReply(Struct):
    count: int
    max_model_len: int | None
    tokens: list[int]
    token_strs: list[str] | None = None


@post("/tokenize", status_code=200, opt={"action": "tokenize"})
async def tokenize(data: JSONBody[TokenizeRequest], service: NamedDependency[Service]) -> TokenizeReply:
    if (data.prompt is None) == (data.messages is None):
        raise ServiceError("Give either prompt or messages")
    if data.messages is not None and data.add_special_tokens:
        raise ServiceError("add_special_tokens is for a prompt: the chat template writes those of messages")
    tokenizing = service.tokenizing
    answering = tokenizing.whose(data.model)
    prompt = data.prompt if data.prompt is not None else turns.messages(data.messages or [])
    found = await tokenizing.tokenize(answering, prompt, add_special_tokens=data.add_special_tokens is not False)
    return TokenizeReply(
        count=len(found.tokens),
        max_model_len=tokenizing.context_length(answering),
        tokens=found.tokens,
        token_strs=found.names if data.return_token_strs else None,
    )
