"""Modules that are trained in full beside LoRA: PEFT's `modules_to_save`."""

from collections.abc import Collection, Iterable

from state.config import LoraConfig
from state.errors import ServiceError


def check(config: LoraConfig, present: Collection[str], quantized: Collection[str], model_name: str) -> None:
    """Raise ServiceError for a module that the model does not have, or that is no module of numbers to be trained.

    `present` are the last names of embeddings, norms and the output layer, `quantized` those of 4-bit linear layers.
    """
    for name in config.modules_to_save or ():
        last = name.rpartition(".")[2]
        if last in quantized:
            raise ServiceError(
                f"lora_config.modules_to_save names {name}, whose weights are quantized to 4 bits and cannot be "
                "trained in full: name it in target_modules, with a larger rank in rank_pattern"
            )
        if last not in present:
            raise ServiceError(
                f"lora_config.modules_to_save names {name}, which {model_name} does not have as an embedding, a norm "
                f"or the output layer: use some of {', '.join(sorted(present))}"
            )


def full_names(config: LoraConfig, modules: Iterable[str]) -> list[str]:
    """The modules that are meant, of these full names: PEFT alone would take `norm` for `input_layernorm` too."""
    names = config.modules_to_save or ()
    return [module for module in modules if any(f".{module}".endswith(f".{name}") for name in names)]


def are_meant(names: Collection[str], modules: Collection[str]) -> bool:
    """Whether each of `modules` is meant by one of `names`, ends of full names, and each of `names` means one."""
    meant = {name: {module for module in modules if f".{module}".endswith(f".{name}")} for name in names}
    return all(meant.values()) and set().union(*meant.values()) == set(modules)
