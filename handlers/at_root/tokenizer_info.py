"""GET /tokenizer_info: a model's tokenizer, its special tokens and chat template, as vLLM tells them."""

from litestar import get
from litestar.di import NamedDependency
from litestar.params import FromQuery
from msgspec import Struct

from runtime.server.service import Service


class TokenizerInfoReply(Struct):
    """`chat_template` is the one that conversations are asked in: the adapter's, the model's or Lathe's own."""

    tokenizer_class: str
    vocab_size: int
    model_max_length: int | None
    """The base model's context."""
    bos_token: str | None
    eos_token: str | None
    pad_token: str | None
    unk_token: str | None
    chat_template: str


@get("/tokenizer_info", opt={"action": "describe tokenizer"})
async def tokenizer_info(service: NamedDependency[Service], model: FromQuery[str | None] = None) -> TokenizerInfoReply:
    answering = service.tokenizing.whose(model)
    found = await service.tokenizing.describe(answering)
    return TokenizerInfoReply(
        tokenizer_class=found.tokenizer_class,
        vocab_size=found.vocab_size,
        model_max_length=service.tokenizing.context_length(answering),
        bos_token=found.bos_token,
        eos_token=found.eos_token,
        pad_token=found.pad_token,
        unk_token=found.unk_token,
        chat_template=found.chat_template,
    )
