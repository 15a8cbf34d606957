"""A GGUF file, its tensors written one at a time."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch
from gguf import GGML_QUANT_SIZES, GGMLQuantizationType, GGUFWriter
from gguf.quants import quantize
from msgspec import Struct

from runtime.export.merging import as_bytes
from state.version import VERSION

WHOLE = {
    GGMLQuantizationType.F32: torch.float32,
    GGMLQuantizationType.F16: torch.float16,
}
"""Each number by itself; in any other kind, blocks of a row's numbers share a scale."""


class Entry(Struct, frozen=True):
    """A tensor that will be in the file."""

    name: str
    shape: list[int]
    kind: GGMLQuantizationType
    value: Callable[[], torch.Tensor]


def begin(architecture: str, name: str, description: str) -> GGUFWriter:
    writer = GGUFWriter(None, architecture)
    writer.add_name(name)
    writer.add_description(f"{description}, by Lathe {VERSION}")
    return writer


def finish(writer: GGUFWriter, file: Path, entries: list[Entry]) -> None:
    """Write all that the writer was told, and the tensors. Raises OSError."""
    for entry in entries:
        block, block_bytes = GGML_QUANT_SIZES[entry.kind]
        size = torch.Size(entry.shape).numel() // block * block_bytes
        writer.add_tensor_info(entry.name, entry.shape, np.dtype(np.float32), size, raw_dtype=entry.kind)
    writer.write_header_to_file(file)
    writer.write_kv_data_to_file()
    writer.write_ti_data_to_file()
    stream = (writer.fout or [])[0]
    for entry in entries:
        writer.write_padding(stream, stream.tell())
        # numpy's own tofile does not tell that the disk is full
        stream.write(_encoded(entry))
    writer.write_padding(stream, stream.tell())
    writer.close()


def _encoded(entry: Entry) -> memoryview:
    value = entry.value()
    if entry.kind in WHOLE:
        return as_bytes(value.to(WHOLE[entry.kind]))
    return quantize(value.float().contiguous().numpy(), entry.kind).data
