"""The safetensors format: 8 bytes with the length of a JSON header, the header, the tensors' bytes.

A header is read in milliseconds, however large the file, and written by whoever has the tensors one at a time.
"""

from collections.abc import Iterable
from pathlib import Path

import msgspec
from msgspec import Struct

from state.errors import BrokenFile

_MAX_HEADER_BYTES = 100_000_000  # the format's own limit
_ALIGNMENT = 8  # readers map the file, and want the tensors on such a boundary


class Tensor(Struct, frozen=True):
    """One entry of a header: type and shape, in the format's own words (`BF16`, `[4096, 4096]`)."""

    dtype: str
    shape: list[int]


class _Entry(Struct):
    dtype: str
    shape: list[int]
    data_offsets: tuple[int, int]


def read_header(file: Path) -> dict[str, Tensor]:
    """Name, type and shape of every tensor in a file.

    Raises FileNotFoundError, and BrokenFile, also where the file ends before the tensors that its header announces.
    """
    try:
        with file.open("rb") as stream:
            length = int.from_bytes(stream.read(8), "little")
            if not 2 <= length <= _MAX_HEADER_BYTES:
                raise BrokenFile(file, "is not a safetensors file")
            header = msgspec.json.decode(stream.read(length), type=dict[str, dict[str, object]])
    except FileNotFoundError:
        raise
    except OSError as error:
        raise BrokenFile(file, error.strerror or str(error)) from error
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise BrokenFile(file, f"is not a safetensors file: {error}") from error
    header.pop("__metadata__", None)
    try:
        entries = {name: msgspec.convert(entry, _Entry) for name, entry in header.items()}
    except msgspec.ValidationError as error:
        raise BrokenFile(file, f"has a broken header: {error}") from error
    end = 8 + length + max((entry.data_offsets[1] for entry in entries.values()), default=0)
    if file.stat().st_size < end:
        raise BrokenFile(file, f"is cut short: {file.stat().st_size} bytes of {end}")
    return {name: Tensor(entry.dtype, entry.shape) for name, entry in entries.items()}


def header(tensors: Iterable[tuple[str, Tensor, int]]) -> bytes:
    """What a file begins with, of each tensor's name, entry and number of bytes; the bytes follow in this order."""
    entries: dict[str, object] = {"__metadata__": {"format": "pt"}}
    end = 0
    for name, tensor, num_bytes in tensors:
        offsets = [end, end := end + num_bytes]
        entries[name] = {"dtype": tensor.dtype, "shape": tensor.shape, "data_offsets": offsets}
    encoded = msgspec.json.encode(entries)
    encoded += b" " * (-len(encoded) % _ALIGNMENT)
    return len(encoded).to_bytes(8, "little") + encoded
