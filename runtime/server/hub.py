"""Asking the Hugging Face hub about a model that is not here yet. Answers "no" at once when offline.

huggingface_hub is imported on the first question only: most servers never ask.
"""

import logging
import os

from state.safetensors import Tensor

TIMEOUT_S = 5.0

log = logging.getLogger(__name__)


def tensors(hub_id: str) -> dict[str, Tensor] | None:
    """The tensors of a hub model's safetensors files, from their headers; None when it cannot be had."""
    if os.environ.get("HF_HUB_OFFLINE", "").upper() in {"1", "ON", "YES", "TRUE"}:
        return None
    from httpx2 import TransportError  # noqa: PLC0415  what huggingface_hub speaks HTTP with
    from huggingface_hub import HfApi  # noqa: PLC0415  the server starts without it
    from huggingface_hub.errors import HfHubHTTPError, NotASafetensorsRepoError  # noqa: PLC0415

    api = HfApi()
    try:
        api.model_info(hub_id, timeout=TIMEOUT_S)
        metadata = api.get_safetensors_metadata(hub_id)
    except (HfHubHTTPError, TransportError, NotASafetensorsRepoError, OSError, ValueError) as error:
        log.info("Hub model %s is not available: %s", hub_id, error)
        return None
    return {
        name: Tensor(str(info.dtype), list(info.shape))
        for file in metadata.files_metadata.values()
        for name, info in file.tensors.items()
    }
