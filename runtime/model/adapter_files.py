"""An adapter's files, checked in words before a model is touched.

PEFT refuses little, and late: what it cannot attach it leaves half attached. So an adapter is first tried on the
base's skeleton, the same modules without their weights, which costs no memory.
"""

from pathlib import Path
from typing import Any

import torch
from msgspec import Struct
from peft import LoraConfig, PeftModel, get_peft_model_state_dict, set_peft_model_state_dict
from peft.tuners.lora import LoraLayer
from peft.utils import ModulesToSaveWrapper
from safetensors import SafetensorError, safe_open
from torch import nn
from transformers import AutoConfig, AutoModelForCausalLM, PreTrainedModel

from state import adapters, safetensors, store
from state.adapters import CONFIG, WEIGHTS
from state.errors import BrokenFile, LoadFailed, first_line
from state.safetensors import Tensor

PREFIX = "base_model.model."
REPLACEABLE = (nn.Linear, nn.Embedding, ModulesToSaveWrapper)
CHANGES_THE_BASE = ("pissa", "corda", "olora", "loftq", "lora_ga")
"""Initialisations that move a part of the base's weights into the adapter: it fits nothing but that changed base."""


class Checked(Struct, frozen=True):
    """What of an adapter that fits its base does what."""

    scalings: dict[str, float]
    """Of each layer's LoRA matrices, by the layer's name in the base."""
    magnitudes: frozenset[str]
    """The layers that have DoRA's magnitudes beside their matrices."""
    replaces: dict[str, str]
    """The base's own tensors that it brings another value for (biases, an output layer): their names in its file."""


def check(folder: Path, skeleton: PreTrainedModel) -> Checked:
    """Read an adapter's files and try them on the base's skeleton, which is used up. Raises LoadFailed.

    Reads all weights once, for NaN.
    """
    try:
        config = _config(folder)
        tensors = safetensors.read_header(folder / WEIGHTS)
        checked = _try_on(folder, config, tensors, skeleton)
        _check_finite(folder / WEIGHTS)
    except FileNotFoundError as error:
        missing = Path(error.filename).name if error.filename else WEIGHTS
        pickled = " (pickled weights are not loaded)" if missing == WEIGHTS else ""
        raise LoadFailed(f"{folder.name}/{missing} is missing{pickled}") from None
    except BrokenFile as error:
        raise LoadFailed(str(error)) from error
    except SafetensorError as error:  # cut while it was read
        raise LoadFailed(f"{folder.name}/{WEIGHTS} cannot be read: {error}") from error
    return checked


def magnitude(layer: str) -> str:
    """The name of a layer's magnitudes in an adapter's file."""
    return f"{PREFIX}{layer}.lora_magnitude_vector"


def skeleton(source: str) -> PreTrainedModel:
    """A base's modules with shapes and no weights. Raises LoadFailed."""
    try:
        config = AutoConfig.from_pretrained(source, trust_remote_code=False)
        with torch.device("meta"):
            model: PreTrainedModel = AutoModelForCausalLM.from_config(config, trust_remote_code=False)
    except (OSError, ValueError) as error:
        raise LoadFailed(f"Model {source} cannot be loaded: {error}") from error
    return model


class _Kind(Struct):
    """What in adapter_config.json decides whether Lathe can use the adapter at all."""

    peft_type: str | None = None
    task_type: str | None = None
    init_lora_weights: bool | str | None = None
    layer_replication: object = None


def _config(folder: Path) -> LoraConfig:
    file = folder / CONFIG
    kind = store.read(file, _Kind)
    adapters.check_type(folder, kind.peft_type)
    if kind.task_type not in (None, "CAUSAL_LM"):
        raise BrokenFile(file, f"task_type is {kind.task_type}, and only CAUSAL_LM is supported")
    if kind.layer_replication:
        raise BrokenFile(file, "layer_replication is not supported: it would change the base for good")
    if isinstance(kind.init_lora_weights, str) and kind.init_lora_weights.lower().startswith(CHANGES_THE_BASE):
        raise BrokenFile(
            file,
            f"init_lora_weights is {kind.init_lora_weights}, which changed the base's weights for the training; "
            "save the adapter with PEFT's path_initial_model_for_weight_conversion to use it on the original base",
        )
    try:
        config: LoraConfig = LoraConfig.from_pretrained(str(folder))
    except (TypeError, ValueError) as error:
        raise BrokenFile(file, str(error)) from error
    return config


def _try_on(folder: Path, config: LoraConfig, tensors: dict[str, Tensor], skeleton: PreTrainedModel) -> Checked:
    """Raises BrokenFile when the adapter does not fit."""
    own = {name for name, _ in skeleton.named_parameters(remove_duplicate=False)}  # a tied output layer, too
    attached = _attach(folder, config, tensors, skeleton)
    base = attached.get_base_model()
    layers = {name: module for name, module in base.named_modules() if isinstance(module, LoraLayer)}
    scalings = {name: float(layer.scaling["default"]) for name, layer in layers.items() if "default" in layer.lora_A}
    magnitudes = frozenset(name for name in scalings if "default" in layers[name].lora_magnitude_vector)
    matrices = {f"{PREFIX}{name}.lora_{side}.weight" for name in scalings for side in "AB"}
    matrices |= {magnitude(name) for name in magnitudes}
    replaces = {_plain(name): name for name in tensors if name not in matrices}
    for plain, name in replaces.items():
        if plain not in own or not _is_replaceable(base, plain):
            raise BrokenFile(
                folder / WEIGHTS, f"holds {name}: only LoRA matrices, biases and whole layers are supported"
            )
    return Checked(scalings, magnitudes, replaces)


def _attach(folder: Path, config: LoraConfig, tensors: dict[str, Tensor], skeleton: PreTrainedModel) -> PeftModel:
    """The skeleton with the adapter on it as PEFT attaches it. Raises BrokenFile for what PEFT would leave out."""
    try:
        attached = PeftModel(skeleton, config, low_cpu_mem_usage=True)
        needed = get_peft_model_state_dict(attached, save_embedding_layers=False)
        _check_shapes(folder, tensors, needed)
        placeholders = {name: torch.empty(tensor.shape, device="meta") for name, tensor in tensors.items()}
        result: Any = set_peft_model_state_dict(attached, placeholders, low_cpu_mem_usage=True)
    except BrokenFile:
        raise
    except Exception as error:  # PEFT checks few values itself: a wrong one surfaces as any exception
        raise BrokenFile(folder / CONFIG, f"does not fit the base model: {first_line(error)}") from error
    if result.unexpected_keys:
        homeless = _plain(result.unexpected_keys[0])
        raise BrokenFile(folder / WEIGHTS, f"does not fit the base model, which has no place for {homeless}")
    lacking = sorted(name for name in result.missing_keys if ".lora_" in name)
    if lacking:
        raise BrokenFile(folder / WEIGHTS, f"lacks {_plain(lacking[0])}, which {CONFIG} and the base model call for")
    return attached


def _is_replaceable(base: nn.Module, parameter: str) -> bool:
    """Whether an adapter may bring another value for one of the base's parameters."""
    return parameter.endswith(".bias") or isinstance(base.get_submodule(parameter.rpartition(".")[0]), REPLACEABLE)


def _check_shapes(folder: Path, tensors: dict[str, Tensor], needed: dict[str, torch.Tensor]) -> None:
    for name, tensor in tensors.items():
        if name in needed and tensor.shape != list(needed[name].shape):
            raise BrokenFile(
                folder / WEIGHTS,
                f"does not fit the base model: {name} has the shape {tensor.shape}, "
                f"and this base needs {list(needed[name].shape)}",
            )


def _check_finite(file: Path) -> None:
    with safe_open(file, framework="pt") as weights:
        for name in weights.keys():  # noqa: SIM118  not a dict: it cannot be iterated
            if not bool(torch.isfinite(weights.get_tensor(name)).all()):
                raise BrokenFile(file, f"{name} holds NaN or infinity: the training that wrote it diverged")


def _plain(name: str) -> str:
    """A tensor's name in the bare base, or in the adapter's file, from its name in PEFT's wrapping."""
    return name.removeprefix(PREFIX).replace(".base_layer.", ".").replace(".default.", ".")
