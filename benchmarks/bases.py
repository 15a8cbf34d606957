"""Base models for benchmarks, made on the spot: Llamas of random weights, with tiny-python's tokenizer."""

import json
import shutil
from pathlib import Path

import torch
from safetensors.torch import save_file
from transformers import LlamaConfig, LlamaForCausalLM

from benchmarks.server import CHECKOUT

TOKENIZER = CHECKOUT / "models" / "tiny-python"
SIZES = {
    "20M": {"hidden_size": 256, "intermediate_size": 704, "num_hidden_layers": 6, "num_attention_heads": 4},
    "370M": {"hidden_size": 1024, "intermediate_size": 2816, "num_hidden_layers": 24, "num_attention_heads": 16},
    "1B": {"hidden_size": 2048, "intermediate_size": 5632, "num_hidden_layers": 22, "num_attention_heads": 32},
    "7B": {"hidden_size": 4096, "intermediate_size": 11008, "num_hidden_layers": 32, "num_attention_heads": 32},
}
TENSORS_A_SHARD = 40


def shape(size: str) -> LlamaConfig:
    """A vocabulary of 32,000, as Llama 2's. It names more tokens than the tokenizer has."""
    return LlamaConfig(**SIZES[size], vocab_size=32_000, max_position_embeddings=2048, pad_token_id=1, eos_token_id=0)  # type: ignore[arg-type]


def make(folder: Path, config: LlamaConfig, device: str = "cpu") -> None:
    """A model folder in bf16 and in shards, made a tensor at a time: 7B would not fit beside anything else."""
    folder.mkdir(parents=True)
    with torch.device("meta"):
        shapes = {name: tensor.shape for name, tensor in LlamaForCausalLM(config).state_dict().items()}
    config.architectures = ["LlamaForCausalLM"]
    config.dtype = torch.bfloat16
    config.save_pretrained(folder)
    for name in ("tokenizer.json", "tokenizer_config.json"):
        shutil.copy(TOKENIZER / name, folder)
    torch.manual_seed(0)
    weight_map: dict[str, str] = {}
    names = list(shapes)
    for first in range(0, len(names), TENSORS_A_SHARD):
        taken = names[first : first + TENSORS_A_SHARD]
        file = f"model-{first:05}.safetensors"
        save_file({name: _weights(shapes[name], device) for name in taken}, folder / file, {"format": "pt"})
        weight_map |= dict.fromkeys(taken, file)
    (folder / "model.safetensors.index.json").write_text(json.dumps({"metadata": {}, "weight_map": weight_map}))


def _weights(size: torch.Size, device: str) -> torch.Tensor:
    if len(size) == 1:
        return torch.ones(size, dtype=torch.bfloat16, device=device)  # a norm's
    return torch.empty(size, dtype=torch.bfloat16, device=device).normal_(std=0.02)
