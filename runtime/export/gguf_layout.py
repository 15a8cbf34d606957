"""How llama.cpp knows a model: its architecture, its settings, its tensors' names, and how it wants their rows."""

import math
from collections.abc import Callable
from typing import Any

import gguf
import torch
from gguf import MODEL_ARCH, GGUFWriter, RopeScalingType
from msgspec import Struct
from transformers import PreTrainedConfig

from state.errors import ServiceError


class Architecture(Struct, frozen=True):
    """What differs from one to the other."""

    kind: MODEL_ARCH
    activation: str
    pairs_neighbours: bool = False
    """Its rope turns neighbouring rows of a head, where transformers turns row i with row i + half."""
    norm_offset: int = 0
    """What is added to the weights of norms."""
    output_is_tied: bool = False
    """It knows no output layer of its own."""


SUPPORTED = {
    "llama": Architecture(MODEL_ARCH.LLAMA, "silu", pairs_neighbours=True),
    "mistral": Architecture(MODEL_ARCH.LLAMA, "silu", pairs_neighbours=True),
    "qwen2": Architecture(MODEL_ARCH.QWEN2, "silu"),
    "qwen3": Architecture(MODEL_ARCH.QWEN3, "silu"),
    "gemma": Architecture(MODEL_ARCH.GEMMA, "gelu_pytorch_tanh", norm_offset=1, output_is_tied=True),
}


class Layout:
    """One model's layout."""

    def __init__(self, model_name: str, config: PreTrainedConfig) -> None:
        """Raises ServiceError for what llama.cpp has no architecture for, or Lathe cannot write for it."""
        found = SUPPORTED.get(config.model_type)
        if found is None:
            raise ServiceError(
                f"Model {model_name} is of the architecture {config.model_type}, which cannot be exported as GGUF: "
                f"{', '.join(sorted(SUPPORTED))} can; the format merged takes any"
            )
        self.architecture = found
        self._config = config
        self._rope: dict[str, Any] = config.rope_parameters
        self._names = gguf.get_tensor_name_map(found.kind, config.num_hidden_layers)
        odd = {
            f"hidden_act {config.hidden_act}": config.hidden_act != found.activation,
            f"rope of the type {self._rope_type}": self._rope_type not in ("default", "linear", "llama3"),
            "a partial rope": self._rope.get("partial_rotary_factor", 1.0) != 1.0,
            "attention biases": getattr(config, "attention_bias", False) and found.kind is not MODEL_ARCH.LLAMA,
            "an untied output layer": found.output_is_tied and not config.tie_word_embeddings,
        }
        for what, is_met in odd.items():
            if is_met:
                raise ServiceError(f"Model {model_name} has {what}, which llama.cpp's {self.kind} does not know")

    @property
    def kind(self) -> str:
        """Llama.cpp's word for the architecture."""
        return gguf.MODEL_ARCH_NAMES[self.architecture.kind]

    def write_settings(self, writer: GGUFWriter) -> None:
        config = self._config
        writer.add_context_length(self._context_length())
        writer.add_embedding_length(config.hidden_size)
        writer.add_block_count(config.num_hidden_layers)
        writer.add_feed_forward_length(config.intermediate_size)
        writer.add_head_count(config.num_attention_heads)
        writer.add_head_count_kv(config.num_key_value_heads)
        writer.add_key_length(self._head_size())
        writer.add_value_length(self._head_size())
        writer.add_layer_norm_rms_eps(config.rms_norm_eps)
        writer.add_vocab_size(config.vocab_size)
        writer.add_rope_dimension_count(self._head_size())
        writer.add_rope_freq_base(float(self._rope["rope_theta"]))
        if self._rope_type == "linear":
            writer.add_rope_scaling_type(RopeScalingType.LINEAR)
            writer.add_rope_scaling_factor(float(self._rope["factor"]))

    def name(self, parameter: str) -> str | None:
        """Llama.cpp's name for a tensor, or for a layer; None for one that it does not know."""
        return self._names.get_name(parameter, try_suffixes=(".weight", ".bias"))

    def arrange(self, parameter: str) -> Callable[[torch.Tensor], torch.Tensor]:
        """What is done to a tensor, or to the B of a layer's LoRA: the values that llama.cpp wants under its name."""
        layer = parameter.removesuffix(".weight").removesuffix(".bias")
        if self.architecture.pairs_neighbours and layer.endswith(("q_proj", "k_proj")):
            heads = self._config.num_attention_heads if layer.endswith("q_proj") else self._config.num_key_value_heads
            return lambda value: neighbouring(value, heads)
        if self.architecture.norm_offset and layer.endswith("norm"):
            return lambda value: value.float() + self.architecture.norm_offset
        return lambda value: value

    def rope_factors(self) -> torch.Tensor | None:
        """What Llama 3.1's rope divides each frequency by, as transformers computes it; None for other ropes."""
        if self._rope_type != "llama3":
            return None
        theta, factor = float(self._rope["rope_theta"]), float(self._rope["factor"])
        low, high = float(self._rope["low_freq_factor"]), float(self._rope["high_freq_factor"])
        size = self._head_size()
        waves = 2 * math.pi * theta ** (torch.arange(0, size, 2, dtype=torch.float32) / size)
        smooth = ((self._rope["original_max_position_embeddings"] / waves - low) / (high - low)).clamp(0, 1)
        factors: torch.Tensor = 1 / ((1 - smooth) / factor + smooth)
        return factors

    @property
    def _rope_type(self) -> str:
        return str(self._rope.get("rope_type", "default"))

    def _context_length(self) -> int:
        """No longer than a sliding window, which llama.cpp's architectures for these models do not have."""
        window = getattr(self._config, "sliding_window", None)
        longest: int = self._config.max_position_embeddings
        return min(longest, window or longest)

    def _head_size(self) -> int:
        config = self._config
        return int(getattr(config, "head_dim", None) or config.hidden_size // config.num_attention_heads)


def neighbouring(value: torch.Tensor, heads: int) -> torch.Tensor:
    """Rows i and i + half of each head beside each other."""
    rows = value.shape[0] // heads
    return value.reshape(heads, 2, rows // 2, *value.shape[1:]).transpose(1, 2).reshape(value.shape)
