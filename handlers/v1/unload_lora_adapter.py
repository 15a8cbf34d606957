"""POST /v1/unload_lora_adapter: give back the memory that an adapter takes, as vLLM does; its files stay."""

from litestar import MediaType, post
from litestar.di import NamedDependency
from litestar.params import JSONBody
from msgspec import Struct

from runtime.server.service import Service


class UnloadLoraRequest(Struct, forbid_unknown_fields=True):
    """`lora_int_id` is vLLM's own number of an adapter, taken and not looked at."""

    lora_name: str
    lora_int_id: int | None = None


@post("/unload_lora_adapter", status_code=200, media_type=MediaType.TEXT, opt={"action": "unload adapter"})
async def unload_lora_adapter(data: JSONBody[UnloadLoraRequest], service: NamedDependency[Service]) -> str:
    await service.serving.release(data.lora_name)
    return f"Success: LoRA adapter '{data.lora_name}' removed successfully."
