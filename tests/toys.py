"""Toy base models of the architectures that people train, made on the spot: two layers, random weights, NF4's shapes.

They are Hugging Face model folders like any other, with tiny-python's tokenizer.
"""

import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from transformers import (
    AutoModelForCausalLM,
    AutoTokenizer,
    Gemma2Config,
    Gemma3TextConfig,
    GemmaConfig,
    GPT2Config,
    LlamaConfig,
    MistralConfig,
    Phi3Config,
    PhiConfig,
    PreTrainedConfig,
    PreTrainedTokenizerBase,
    Qwen2Config,
    Qwen3Config,
)

from tests.server import CHECKOUT

TOKENIZER = CHECKOUT / "models" / "tiny-python"
SHAPE: dict[str, Any] = {
    "vocab_size": 2048,
    "hidden_size": 64,
    "intermediate_size": 128,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
    "max_position_embeddings": 256,
    "bos_token_id": 0,
    "eos_token_id": 0,
    "pad_token_id": 1,
}
GPT2_SHAPE: dict[str, Any] = {
    "vocab_size": 2048,
    "n_embd": 64,
    "n_layer": 2,
    "n_head": 4,
    "n_positions": 256,
    "bos_token_id": 0,
    "eos_token_id": 0,
}
ARCHITECTURES: dict[str, Callable[[], PreTrainedConfig]] = {
    "llama": lambda: LlamaConfig(**SHAPE),
    "qwen2": lambda: Qwen2Config(**SHAPE),
    "qwen3": lambda: Qwen3Config(**SHAPE, head_dim=16),
    "mistral": lambda: MistralConfig(**SHAPE, sliding_window=None),
    "gemma": lambda: GemmaConfig(**SHAPE, head_dim=16),
    "gemma2": lambda: Gemma2Config(
        **SHAPE, head_dim=16, sliding_window=32, attn_logit_softcapping=2.0, final_logit_softcapping=3.0
    ),
    "gemma3": lambda: Gemma3TextConfig(**SHAPE, head_dim=16, sliding_window=32),
    "phi3": lambda: Phi3Config(**SHAPE),
    "phi": lambda: PhiConfig(**SHAPE | {"num_key_value_heads": 4}),
    "gpt2": lambda: GPT2Config(**GPT2_SHAPE),
}


def tokenizer() -> PreTrainedTokenizerBase:
    """The toys' own, which has no chat template."""
    made: PreTrainedTokenizerBase = AutoTokenizer.from_pretrained(TOKENIZER)
    made.chat_template = None
    return made


def make(folder: Path, architecture: str = "llama", *, seed: int = 0, **changes: Any) -> Path:
    """Write a toy model to `folder` and return it; `changes` are of its configuration."""
    torch.manual_seed(seed)
    config = ARCHITECTURES[architecture]()
    for name, value in changes.items():
        setattr(config, name, value)
    model = AutoModelForCausalLM.from_config(config, dtype=torch.bfloat16)
    model.save_pretrained(folder)
    for file in ("tokenizer.json", "tokenizer_config.json"):
        shutil.copy(TOKENIZER / file, folder)
    return folder
