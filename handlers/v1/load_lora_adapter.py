"""POST /v1/load_lora_adapter: have an adapter in memory under a name, as vLLM does."""

from typing import Literal

from litestar import MediaType, post
from litestar.di import NamedDependency
from litestar.params import JSONBody
from msgspec import Struct

from runtime.server.service import Service


class LoadLoraRequest(Struct, forbid_unknown_fields=True):
    """`lora_path` lies in the data root: the adapter's own folder, or one to import under the name."""

    lora_name: str
    lora_path: str
    load_inplace: Literal[False] | None = None


@post("/load_lora_adapter", status_code=200, media_type=MediaType.TEXT, opt={"action": "load adapter"})
async def load_lora_adapter(data: JSONBody[LoadLoraRequest], service: NamedDependency[Service]) -> str:
    await service.lora_loading.load(data.lora_name, data.lora_path)
    return f"Success: LoRA adapter '{data.lora_name}' added successfully."
