"""Attaching a LoRA adapter to a quantized base."""

import logging
import warnings

import torch
from bitsandbytes.nn.modules import Linear4bit
from peft import LoraConfig as PeftLoraConfig
from peft import PeftModel, get_peft_model
from peft.utils import ModulesToSaveWrapper
from torch import nn
from torch.nn.functional import embedding
from transformers import PreTrainedModel

from runtime.model.private import replace_forward
from state import lora_patterns, models, saved_modules
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
    saved = _saved_modules(base, config, model_name)
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message="Model has `tie_word_embeddings")  # the log says it
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
                modules_to_save=saved or None,
            ),
        )
    for module in adapted.modules():
        if isinstance(module, ModulesToSaveWrapper):
            _take_gradients_in_float32(module.modules_to_save["default"])
    adapted.active_peft_config.base_model_name_or_path = source
    adapted.train()
    return adapted


def stored_name(parameter: str) -> str:
    """The name that PEFT's file gives a trained parameter, which has it in the adapted model."""
    if parameter.endswith(".lora_magnitude_vector.default.weight"):
        return parameter.removesuffix(".default.weight")
    return parameter.replace(".modules_to_save.default.", ".").replace(".default.", ".")


def _saved_modules(base: PreTrainedModel, config: LoraConfig, model_name: str) -> list[str]:
    """The names of the modules that are trained in full. Raises ServiceError."""
    if config.modules_to_save is None:
        return []
    quantized = adaptable_modules(base)
    whole = [
        name
        for name, module in base.named_modules(remove_duplicate=False)
        if not isinstance(module, Linear4bit) and next(module.parameters(recurse=False), None) is not None
    ]
    saved_modules.check(config, {name.rpartition(".")[2] for name in whole} - quantized, quantized, model_name)
    names = saved_modules.full_names(config, whole)
    log.info("Trained in full: %s", ", ".join(names))
    ends = [base.get_input_embeddings(), base.get_output_embeddings()]
    tied = [name for name in names if any(end is not None and end is base.get_submodule(name) for end in ends)]
    if tied and base.config.get_text_config().tie_word_embeddings:
        log.info(
            "The model's embedding and its output layer share their weights: %s is trained as a copy of its own, "
            "and they are two from now on",
            " and ".join(tied),
        )
    return names


def _take_gradients_in_float32(module: nn.Module) -> None:
    """On a CPU, an embedding adds up the gradients of all places of a token in its weights' own type.

    In bf16, the sum over a frequent token's places stops growing at 256 times one of them.
    """
    if type(module) is nn.Embedding and module.weight.dtype != torch.float32:

        def forward(tokens: torch.Tensor) -> torch.Tensor:
            return embedding(tokens, module.weight.float(), module.padding_idx).to(module.weight.dtype)

        replace_forward(module, forward)


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
