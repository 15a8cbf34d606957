"""Asking the Hugging Face hub about a model that is not here yet. Answers "no" at once when offline.

huggingface_hub is imported on the first question only: most servers never ask.
"""

import logging
import os
from concurrent.futures import ThreadPoolExecutor
from fnmatch import fnmatchcase

from state import models
from state.safetensors import Tensor

TIMEOUT_S = float(os.environ.get("HF_HUB_ETAG_TIMEOUT") or 5.0)  # of each request, as the library is told for its own
AT_ONCE = 8  # requests: large models have dozens of files

log = logging.getLogger(__name__)


def tensors(hub_id: str) -> dict[str, Tensor] | None:
    """The tensors of a hub model's safetensors files, from their headers; None when it cannot be had."""
    if is_offline():
        return None
    from httpx2 import TransportError  # noqa: PLC0415  what huggingface_hub speaks HTTP with
    from huggingface_hub import HfApi  # noqa: PLC0415  the server starts without it
    from huggingface_hub.errors import HfHubHTTPError, SafetensorsParsingError  # noqa: PLC0415

    api = HfApi()

    def header(file: str) -> dict[str, Tensor]:
        found = api.parse_safetensors_file_metadata(hub_id, file, timeout=TIMEOUT_S).tensors
        return {name: Tensor(str(info.dtype), list(info.shape)) for name, info in found.items()}

    try:
        siblings = api.model_info(hub_id, timeout=TIMEOUT_S).siblings or []
        names = [sibling.rfilename for sibling in siblings]
        files = [name for name in names if "/" not in name and fnmatchcase(name, models.WEIGHTS)]
        with ThreadPoolExecutor(AT_ONCE) as pool:
            headers = list(pool.map(header, files))
    except (HfHubHTTPError, TransportError, SafetensorsParsingError, OSError, ValueError) as error:
        log.info("Hub model %s is not available: %s", hub_id, error)
        return None
    return {name: tensor for header in headers for name, tensor in header.items()} or None


def is_offline() -> bool:
    """Whether huggingface_hub would not ask, by its own rule (its `constants.HF_HUB_OFFLINE`)."""
    said = os.environ.get("HF_HUB_OFFLINE") or os.environ.get("TRANSFORMERS_OFFLINE") or ""
    return said.upper() in {"1", "ON", "YES", "TRUE"}
