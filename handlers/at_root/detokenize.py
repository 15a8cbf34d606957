"""POST /detokenize: the text of tokens, special ones included, as vLLM tells it."""

from litestar import post
from litestar.di import NamedDependency
from litestar.params import JSONBody
from msgspec import Struct

from runtime.server.service import Service


class DetokenizeRequest(Struct, forbid_unknown_fields=True):
    tokens: list[int]
    model: str | None = None


class DetokenizeReply(Struct):
    prompt: str


@post("/detokenize", status_code=200, opt={"action": "detokenize"})
async def detokenize(data: JSONBody[DetokenizeRequest], service: NamedDependency[Service]) -> DetokenizeReply:
    answering = service.tokenizing.whose(data.model)
    return DetokenizeReply(await service.tokenizing.detokenize(answering, data.tokens))
