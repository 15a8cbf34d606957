"""A base with an adapter merged into it, one tensor at a time: W + scaling * B A, added in float32, in W's own type.

DoRA scales each row of that sum to its magnitude.

What is merged is what Lathe's own inference computes: see runtime/inference/adapters.py. The only difference is the
base: here its 16-bit weights, there (and in the training) their NF4 copy.
"""

import math
from collections.abc import Iterator
from pathlib import Path

import torch
from msgspec import Struct
from safetensors import safe_open

from runtime.export.fitted import Fitted
from runtime.model.adapter_files import PREFIX, magnitude
from runtime.model.dora import row_norms
from state import models, safetensors
from state.adapters import WEIGHTS
from state.errors import ServiceError
from state.safetensors import Tensor

BYTES = {"F64": 8, "I64": 8, "F32": 4, "I32": 4, "BF16": 2, "F16": 2, "I16": 2, "U8": 1, "I8": 1, "BOOL": 1}
MERGEABLE = ("F32", "BF16", "F16")


class Part(Struct, frozen=True):
    """A tensor of the merged model. Its name is that of transformers' model."""

    name: str
    file: Path
    stored: str
    """Its name in the base's file."""
    tensor: Tensor

    @property
    def num_bytes(self) -> int:
        return math.prod(self.tensor.shape) * BYTES[self.tensor.dtype]


def parts(fitted: Fitted) -> list[Part]:
    """Every tensor that the merged model has. Raises ServiceError where the base's files lack one."""
    found = {part.name: part for part in _stored(fitted)}
    if fitted.is_untied:
        shared = found[f"{fitted.embedding}.weight"]
        output = f"{fitted.output}.weight"
        found[output] = Part(output, shared.file, shared.stored, shared.tensor)
    lacking = next((name for name in fitted.names if name not in found), None)
    if lacking is not None:
        raise ServiceError(f"Model {fitted.model_name} cannot be exported: its safetensors files have no {lacking}")
    unknown = next((part for part in found.values() if part.tensor.dtype not in BYTES), None)
    if unknown is not None:
        raise ServiceError(
            f"Model {fitted.model_name} cannot be exported: {unknown.name} has the type {unknown.tensor.dtype}, "
            f"and weights in {', '.join(MERGEABLE)} are needed"
        )
    return list(found.values())


def value(fitted: Fitted, part: Part) -> torch.Tensor:
    """A part as the adapter makes it."""
    layer, _, kind = part.name.rpartition(".")
    replaced = fitted.checked.replaces.get(part.name)
    base = _read(part.file, part.stored)
    merged = base if replaced is None else _read(fitted.adapter / WEIGHTS, replaced).to(base.dtype)
    scaling = fitted.checked.scalings.get(layer)
    if scaling is None or kind != "weight":
        return merged
    a_RI, b_OR = lora(fitted, layer)
    own_OI = merged.T if layer in fitted.transposed else merged
    weight_OI = own_OI.float() + (b_OR * scaling) @ a_RI
    if layer in fitted.checked.magnitudes:
        magnitude_O = _read(fitted.adapter / WEIGHTS, magnitude(layer)).float()
        weight_OI *= (magnitude_O / row_norms(own_OI, a_RI, b_OR, scaling))[:, None]
    return (weight_OI.T if layer in fitted.transposed else weight_OI).to(merged.dtype)


def lora(fitted: Fitted, layer: str) -> tuple[torch.Tensor, torch.Tensor]:
    """A layer's two matrices, A [r, in] and B [out, r], in float32 and without their scaling."""
    a_RI, b_OR = (_read(fitted.adapter / WEIGHTS, f"{PREFIX}{layer}.lora_{side}.weight") for side in "AB")
    return a_RI.float(), b_OR.float()


def as_bytes(tensor: torch.Tensor) -> memoryview:
    """As it lies in a safetensors or GGUF file, on a machine that is little-endian as all of torch's are."""
    return tensor.contiguous().reshape(-1).view(torch.uint8).numpy().data


def _stored(fitted: Fitted) -> Iterator[Part]:
    wanted = set(fitted.names)
    for file in models.weight_files(fitted.base):
        for stored, tensor in safetensors.read_header(file).items():
            for name in (stored, fitted.prefix + stored, stored.removeprefix(fitted.prefix)):
                if name in wanted:
                    yield Part(name, file, stored, tensor)
                    break


def _read(file: Path, name: str) -> torch.Tensor:
    """Read rather than mapped: a mapped 7B model would show 13 GB resident."""
    with safe_open(file, framework="pt", backend="pread") as weights:
        tensor: torch.Tensor = weights.get_tensor(name)
    return tensor
