"""Attaching a LoRA adapter to a quantized base."""

import logging

import torch
from peft import LoraConfig as PeftLoraConfig
from peft import PeftModel, get_peft_model
from torch import nn
from transformers import PreTrainedModel

from state import lora_patterns, models
from state.config import LoraConfig, resolved_target_modules

log = logging.getLogger("trainer")


def attach(base: PreTrainedModel, config: LoraConfig, model_name: str, source: str) -> PeftModel:
    """The base with a fresh adapter, in training mode; only the adapter (and biases, where asked) has gradients.

    The adapter's weights are float32; norms and embeddings of the base stay in the setup's dtype: casting them up, as
    peft's preparation for k-bit training does, changes the logits that inference will see.
    Raises ServiceError for target modules that the model does not have.
    """
    base.requires_grad_(requires_grad=False)
    base.config.use_cache = False
    targets = resolved_target_modules(config, adaptable_modules(base), model_name)
    lora_patterns.check(config, _linear_layers(base), targets, model_name)
    log.info(
        "%s on %s, rank %s, alpha %s%s",
        *(_kind(config), ", ".join(targets), config.r, config.lora_alpha),
        "; other ranks and alphas by name" if config.rank_pattern or config.alpha_pattern else "",
    )
    adapted = get_peft_model(
        base,
        PeftLoraConfig(
            r=config.r,
            lora_alpha=config.lora_alpha,
            lora_dropout=config.lora_dropout,
            target_modules=targets,
            bias=config.bias,
            task_type=config.task_type,
            use_rslora=config.use_rslora,
            use_dora=config.use_dora,
            rank_pattern=config.rank_pattern or {},
            alpha_pattern=config.alpha_pattern or {},
        ),
    )
    adapted.active_peft_config.base_model_name_or_path = source
    adapted.train()
    return adapted


def stored_name(parameter: str) -> str:
    """The name that PEFT's file gives a trained parameter, which has it in the adapted model."""
    if parameter.endswith(".lora_magnitude_vector.default.weight"):
        return parameter.removesuffix(".default.weight")
    return parameter.replace(".default.", ".")


def _kind(config: LoraConfig) -> str:
    kind = "DoRA" if config.use_dora else "LoRA"
    return f"rank-stabilized {kind}" if config.use_rslora else kind


def adaptable_modules(base: PreTrainedModel) -> set[str]:
    """Last names of the linear layers that can be adapted."""
    return models.adaptable_modules(_linear_layers(base), base.config.model_type)


def trainable(model: nn.Module) -> dict[str, torch.nn.Parameter]:
    """The parameters that are trained, by name, in a fixed order."""
    return {name: parameter for name, parameter in model.named_parameters() if parameter.requires_grad}


def _linear_layers(base: PreTrainedModel) -> list[str]:
    return [name for name, module in base.named_modules() if isinstance(module, nn.Linear)]
