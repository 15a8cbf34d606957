"""POST /api/generate: complete a prompt with the loaded adapter, or with a bare base model."""

from typing import Annotated, Any, Literal

from litestar import Request, post
from litestar.di import NamedDependency
from litestar.params import JSONBody
from msgspec import Meta, Struct

from handlers._http.bodies import while_connected
from handlers._http.sampling import MaxTokens, MinP, RepetitionPenalty, Seed, Stop, Temperature, TopK, TopP
from runtime.messages.inference import SamplingParameters
from runtime.server.service import Service


class GenerateRequest(Struct, forbid_unknown_fields=True):
    """`model_name` asks a base model without any adapter; left out, the loaded adapter answers."""

    prompt: Annotated[str, Meta(min_length=1)]
    model_name: str | None = None
    max_new_tokens: MaxTokens = 128
    temperature: Temperature = 0.0
    top_p: TopP = 1.0
    top_k: TopK = 0
    min_p: MinP = 0.0
    repetition_penalty: RepetitionPenalty = 1.0
    seed: Seed | None = None
    stop: list[Stop] = []


class GenerateReply(Struct):
    """`text` is the completion alone. `adapter_name` is null where the bare base answered."""

    text: str
    model_name: str
    adapter_name: str | None
    prompt_tokens: int
    completion_tokens: int
    finish_reason: Literal["stop", "length"]


@post("/generate", status_code=200, opt={"action": "generate"})
async def generate(
    data: JSONBody[GenerateRequest], service: NamedDependency[Service], request: Request[Any, Any, Any]
) -> GenerateReply:
    serving = service.serving
    answering = serving.loaded() if data.model_name is None else serving.base(data.model_name)
    sampling = SamplingParameters(
        max_new_tokens=data.max_new_tokens,
        temperature=data.temperature,
        top_p=data.top_p,
        top_k=data.top_k,
        min_p=data.min_p,
        repetition_penalty=data.repetition_penalty,
        seed=data.seed,
        stop=tuple(data.stop),
    )
    [generated] = await while_connected(request, serving.complete(answering, [(data.prompt, sampling)]))
    return GenerateReply(
        text=generated.text,
        model_name=answering.model_name,
        adapter_name=answering.adapter.name if answering.adapter else None,
        prompt_tokens=generated.prompt_tokens,
        completion_tokens=generated.completion_tokens,
        finish_reason=generated.finish_reason,
    )
