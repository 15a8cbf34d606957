"""Loading a base model in NF4, and its tokenizer: the same way for training and for inference.

QLoRA's storage (Dettmers et al. 2023): 4-bit NormalFloat in blocks of 64 weights, the blocks' scales quantized once
more. Embeddings, norms and the output layer stay in the plan's dtype. bitsandbytes does this on CUDA, MPS and CPU.
"""

from pathlib import Path

import torch
from transformers import (
    AutoModelForCausalLM,
    AutoTokenizer,
    BitsAndBytesConfig,
    PreTrainedModel,
    PreTrainedTokenizerBase,
)
from transformers.utils import logging as transformers_logging

from runtime.device import Plan
from state.errors import ServiceError

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


def load_base(source: str, plan: Plan) -> PreTrainedModel:
    """A causal language model in NF4 on the plan's device, from a folder or a hub id, in eval mode.

    Raises ServiceError for what is not a causal language model, or has no safetensors weights.
    """
    try:
        return AutoModelForCausalLM.from_pretrained(
            source,
            quantization_config=quantization(plan.torch_dtype),
            dtype=plan.torch_dtype,
            device_map={"": plan.device},
            use_safetensors=True,
            trust_remote_code=False,
        )
    except (OSError, ValueError) as error:
        raise ServiceError(f"Model {_shown(source)} cannot be loaded: {_first_line(error)}") from error


def load_tokenizer(source: str) -> PreTrainedTokenizerBase:
    """The model's tokenizer, with a token to pad with. Raises ServiceError when there is none."""
    try:
        tokenizer = AutoTokenizer.from_pretrained(source, trust_remote_code=False)
    except (OSError, ValueError) as error:
        raise ServiceError(f"The tokenizer of {_shown(source)} cannot be loaded: {_first_line(error)}") from error
    if tokenizer.pad_token_id is None:
        # padding is masked everywhere: any token of the vocabulary serves, and a new one would need a new embedding
        tokenizer.pad_token = tokenizer.eos_token or tokenizer.unk_token or tokenizer.convert_ids_to_tokens(0)
    return tokenizer


def _shown(source: str) -> str:
    return Path(source).name if Path(source).is_absolute() else source


def _first_line(error: Exception) -> str:
    return (str(error).strip() or type(error).__name__).splitlines()[0]
