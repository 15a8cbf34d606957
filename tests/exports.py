"""Exports of toy models, made in the test's own process."""

from pathlib import Path
from typing import Any

import torch
from msgspec import Struct
from peft import LoraConfig, get_peft_model
from transformers import AutoModelForCausalLM

from runtime.export.making import export
from runtime.messages.export import Format, Order
from state.adapters import ChatSettings
from tests import toys

PLAIN = ChatSettings()

PATTERNS: dict[str, Any] = {
    "target_modules": "all-linear",
    "use_rslora": True,
    "r": 4,
    "lora_alpha": 7,
    "rank_pattern": {"q_proj": 2},
    "alpha_pattern": {"v_proj": 3},
}
"""Ranks and scalings of each layer's own."""


class Exported(Struct, frozen=True):
    """The folders of a base, of an adapter for it, and of what was made of both."""

    base: Path
    adapter: Path
    folder: Path


def make(
    parent: Path,
    architecture: str,
    export_format: Format,
    lora: dict[str, Any],
    dtype: torch.dtype = torch.float32,
    chat: ChatSettings = PLAIN,
) -> Exported:
    """Export a LoRA adapter with random weights on a toy base, which may lie in `parent`/toy already."""
    made = Exported(parent / "toy", parent / "mine", parent / "export")
    if not made.base.exists():
        toys.make(made.base, architecture)
    torch.manual_seed(1)
    model = AutoModelForCausalLM.from_pretrained(made.base, dtype=dtype)
    with torch.no_grad():
        for parameter in model.parameters():  # a fresh model's biases are zeros and its norms ones
            parameter.add_(0.02 * torch.randn(parameter.shape, dtype=dtype))
    model.save_pretrained(made.base)
    tuned = get_peft_model(model, LoraConfig(init_lora_weights=False, task_type="CAUSAL_LM", **lora))
    with torch.no_grad():
        for name, parameter in tuned.named_parameters():
            if "modules_to_save" in name or name.endswith(".bias"):
                parameter.add_(0.1)
            if "magnitude" in name:
                parameter.mul_(1.5)
    tuned.save_pretrained(str(made.adapter), save_embedding_layers=False)
    export(Order(str(made.adapter), "toy", str(made.base), export_format, str(made.folder), chat))
    return made
