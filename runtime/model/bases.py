"""Loading a base model in NF4: the same way for training and for inference. Its tokenizer is in `tokenizers`.

QLoRA's storage (Dettmers et al. 2023): 4-bit NormalFloat in blocks of 64 weights, the blocks' scales quantized once
more. Embeddings, norms and the output layer stay in the setup's dtype. bitsandbytes does this on CUDA, MPS and CPU.
"""

import gc
import logging
import math
import re
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

import torch
from safetensors import SafetensorError
from transformers import AutoModelForCausalLM, BitsAndBytesConfig, PreTrainedModel
from transformers.utils import logging as transformers_logging

from runtime.model import base_cache
from runtime.model.device import Setup
from runtime.model.failures import is_out_of_memory
from runtime.model.tokenizers import shown
from state import locks, models
from state.errors import ServiceError, first_line
from state.safetensors import Tensor

NF4_BYTES = 0.516  # 4 bits a weight, 8 bits for each 64 weights' scale, and 32 for 256 of those
_IN_A_BLOCK = re.compile(r"\.\d+\.")  # layers of a block stand under a number; embeddings and output layer do not

log = logging.getLogger(__name__)

transformers_logging.disable_progress_bar()  # a bar in a log file is noise
transformers_logging.set_verbosity_error()


def quantization(dtype: torch.dtype) -> BitsAndBytesConfig:
    """NF4 with double quantization, computing in `dtype`."""
    return BitsAndBytesConfig(
        load_in_4bit=True,
        bnb_4bit_quant_type="nf4",
        bnb_4bit_use_double_quant=True,
        bnb_4bit_compute_dtype=dtype,
    )


def load_base(source: str, setup: Setup, cache: Path) -> PreTrainedModel:
    """A causal language model in NF4 on the setup's device, from a folder or a hub id, in eval mode.

    Quantized on the first load and kept under `cache`; the first load and every later one give the kept copy's weights.
    Raises ServiceError for what is not a causal language model, or has no safetensors weights.
    """
    try:
        kept = base_cache.folder_of(cache, source, setup)
        base = _load_kept(kept, setup)
        if base is None:
            with _making(kept) as may_keep:
                base = _load_kept(kept, setup)  # another process made it while this one waited
                if base is None:
                    base = _quantize(source, setup)
                    if may_keep and base_cache.keep(base, kept):
                        del base
                        gc.collect()  # its memory is free before the copy is mapped
                        base = _from_pretrained(str(kept), setup)
    except (OSError, ValueError) as error:
        raise ServiceError(f"Model {shown(source)} cannot be loaded: {first_line(error)}") from error
    base.config.name_or_path = base.name_or_path = source
    return base


def size(source: str, setup: Setup, cache: Path) -> int | None:
    """About how many bytes a base takes on the setup's device. None where its files are not here, or not readable."""
    folder = Path(source) if Path(source).is_dir() else models.hub_folder(source)
    try:
        kept = base_cache.folder_of(cache, source, setup)
        if kept.is_dir():
            return sum(file.stat().st_size for file in kept.glob("*.safetensors"))
        found = models.tensors(folder) if folder is not None else {}
    except (OSError, ServiceError):
        return None
    sizes = [_size(name, tensor, setup) for name, tensor in found.items()]
    return int(sum(sizes)) or None


def _size(name: str, tensor: Tensor, setup: Setup) -> float:
    is_quantized = len(tensor.shape) == 2 and _IN_A_BLOCK.search(name) is not None
    return math.prod(tensor.shape) * (NF4_BYTES if is_quantized else float(setup.torch_dtype.itemsize))


def _load_kept(kept: Path, setup: Setup) -> PreTrainedModel | None:
    if not kept.is_dir():
        return None
    try:
        return _from_pretrained(str(kept), setup)
    except (OSError, ValueError, RuntimeError, SafetensorError) as error:
        if is_out_of_memory(error):
            raise  # no fault of the copy's: a new one would take more
        log.warning("The quantized copy %s cannot be read and is made anew: %s", kept, error)
        return None


@contextmanager
def _making(kept: Path) -> Iterator[bool]:
    """Hold the lock under which a copy is made: many that start at once quantize once. False where none can be kept."""
    with ExitStack() as held:
        try:
            kept.parent.mkdir(parents=True, exist_ok=True)
            held.enter_context(locks.hold(kept.with_suffix(".lock"), timeout_s=math.inf))
            may_keep = True
        except OSError as error:
            log.warning("The quantized base is not kept on disk: %s", error)
            may_keep = False
        yield may_keep


def _quantize(source: str, setup: Setup) -> PreTrainedModel:
    with base_cache.read_sparingly():
        return _from_pretrained(source, setup, quantization_config=quantization(setup.torch_dtype))


def _from_pretrained(source: str, setup: Setup, **options: BitsAndBytesConfig) -> PreTrainedModel:
    model: PreTrainedModel = AutoModelForCausalLM.from_pretrained(
        source,
        dtype=setup.torch_dtype,
        device_map={"": setup.device},
        use_safetensors=True,
        trust_remote_code=False,
        **options,
    )
    return model
