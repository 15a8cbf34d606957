"""An adapter's files, checked in words before a model is touched; an adapter in a base, and out of it again.

PEFT refuses little, and late: what it cannot attach it leaves half attached. So an adapter is first tried on the
base's skeleton, the same modules without their weights, which costs no memory.
"""

import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch
from bitsandbytes.functional import has_avx512bf16
from bitsandbytes.nn.modules import Linear4bit
from msgspec import Struct
from peft import LoraConfig, PeftModel, get_peft_model_state_dict, set_peft_model_state_dict
from safetensors import safe_open
from transformers import PreTrainedModel

from runtime.worker_protocol import AdapterFiles, LoadFailed
from state import models, store
from state.adapters import CONFIG, WEIGHTS
from state.errors import BrokenFile
from state.models import Tensor

CHANGES_THE_BASE = ("pissa", "corda", "olora", "loftq", "lora_ga")
"""Initialisations that move a part of the base's weights into the adapter: it fits nothing but that changed base."""


class Checked(Struct, frozen=True):
    """An adapter that fits its base."""

    config: Any
    """PEFT's own."""
    replaces: list[str]
    """The base's own tensors that it brings another value for: biases, where it was trained with `bias`."""


class Attached:
    """A base with an adapter in it. The base is bit for bit itself again when it is set aside or detached."""

    def __init__(self, base: PreTrainedModel, files: AdapterFiles, checked: Checked) -> None:
        """PEFT may raise anything; the base is then to be thrown away."""
        self.files = files
        replaced = [base.get_parameter(name) for name in checked.replaces]
        self._own = {parameter: parameter.detach().clone() for parameter in replaced}
        with _weights_stay_packed():
            self.model: Any = PeftModel.from_pretrained(
                base, files.path, config=checked.config, torch_device=str(base.device), local_files_only=True
            ).eval()
        self._adapted = {parameter: parameter.detach().clone() for parameter in replaced}

    @contextmanager
    def set_aside(self) -> Iterator[None]:
        """The base answers as if alone."""
        layers = self.model.base_model
        with warnings.catch_warnings():
            warnings.filterwarnings("ignore", message="Careful, disabling adapter layers")  # biases: done here
            layers.disable_adapter_layers()
        _put(self._own)
        try:
            yield
        finally:
            _put(self._adapted)
            layers.enable_adapter_layers()

    def detach(self) -> None:
        self.model.unload()
        _put(self._own)


def check(folder: Path, skeleton: PreTrainedModel) -> Checked:
    """Read an adapter's files and try them on the base's skeleton, which is used up. Raises LoadFailed.

    Reads all weights once, for NaN.
    """
    try:
        config = _config(folder)
        tensors = models.read_header(folder / WEIGHTS)
        replaces = _try_on(folder, config, tensors, skeleton)
        _check_finite(folder / WEIGHTS)
    except FileNotFoundError as error:
        missing = Path(error.filename).name if error.filename else WEIGHTS
        pickled = " (pickled weights are not loaded)" if missing == WEIGHTS else ""
        raise LoadFailed(f"{folder.name}/{missing} is missing{pickled}") from None
    except BrokenFile as error:
        raise LoadFailed(str(error)) from error
    return Checked(config, replaces)


class _Kind(Struct):
    """What in adapter_config.json decides whether Lathe can use the adapter at all."""

    peft_type: str | None = None
    task_type: str | None = None
    init_lora_weights: bool | str | None = None
    layer_replication: object = None
    use_dora: bool = False


def _config(folder: Path) -> LoraConfig:
    file = folder / CONFIG
    kind = store.read(file, _Kind)
    if kind.peft_type != "LORA":
        raise BrokenFile(file, f"peft_type is {kind.peft_type}, and only LORA is supported")
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
    if kind.use_dora and not torch.accelerator.is_available() and has_avx512bf16():
        # DoRA reads the base's weights in each step; bitsandbytes 0.50 packs them for this CPU and then reads them
        # back wrongly (mean error on a normal 4096 x 4096 matrix: 1.1 of its standard deviation, 0.08 unpacked)
        raise BrokenFile(file, "use_dora is not supported on this CPU: its 4-bit kernels cannot compute DoRA")
    try:
        config: LoraConfig = LoraConfig.from_pretrained(str(folder))
    except (TypeError, ValueError) as error:
        raise BrokenFile(file, str(error)) from error
    return config


def _try_on(folder: Path, config: LoraConfig, tensors: dict[str, Tensor], skeleton: PreTrainedModel) -> list[str]:
    """The names of the base's tensors that the adapter replaces. Raises BrokenFile when it does not fit."""
    own = {name for name, _ in skeleton.named_parameters()}
    try:
        tried = PeftModel(skeleton, config, low_cpu_mem_usage=True)
        needed = get_peft_model_state_dict(tried, save_embedding_layers=False)
        _check_shapes(folder, tensors, needed)
        placeholders = {name: torch.empty(tensor.shape, device="meta") for name, tensor in tensors.items()}
        result: Any = set_peft_model_state_dict(tried, placeholders, low_cpu_mem_usage=True)
    except BrokenFile:
        raise
    except Exception as error:  # PEFT checks few values itself: a wrong one surfaces as any exception
        raise BrokenFile(folder / CONFIG, f"does not fit the base model: {_first_line(error)}") from error
    if result.unexpected_keys:
        raise BrokenFile(
            folder / WEIGHTS, f"does not fit the base model, which has no place for {_plain(result.unexpected_keys[0])}"
        )
    missing = set(result.missing_keys)
    lacking = sorted(name for name in missing if ".lora_" in name)
    if lacking:
        raise BrokenFile(folder / WEIGHTS, f"lacks {_plain(lacking[0])}, which {CONFIG} and the base model call for")
    loaded = (name for name in tried.state_dict() if name not in missing)
    return [name for name in map(_plain, loaded) if name in own]


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


@contextmanager
def _weights_stay_packed() -> Iterator[None]:
    """Let PEFT list the model's tensors without bitsandbytes changing them.

    On a CPU with bf16 instructions the first forward pass packs the 4-bit weights for a kernel that makes a token of a
    4096 x 4096 layer in 0.2 ms instead of 10. `state_dict()`, which PEFT calls for the names alone, unpacks them
    again, and rounds their scales in doing so: the base would be another one from then on.
    """
    unpacks = Linear4bit._save_to_state_dict  # noqa: SLF001
    Linear4bit._save_to_state_dict = torch.nn.Module._save_to_state_dict  # type: ignore[method-assign]  # noqa: SLF001
    try:
        yield
    finally:
        Linear4bit._save_to_state_dict = unpacks  # type: ignore[method-assign]  # noqa: SLF001


def _put(values: dict[torch.nn.Parameter, torch.Tensor]) -> None:
    for parameter, value in values.items():
        parameter.data.copy_(value)


def _plain(name: str) -> str:
    """A tensor's name in the bare base, or in the adapter's file, from its name in PEFT's wrapping."""
    return name.removeprefix("base_model.model.").replace(".base_layer.", ".").replace(".default.", ".")


def _first_line(error: Exception) -> str:
    return next((text for text in str(error).splitlines() if text.strip()), type(error).__name__)
