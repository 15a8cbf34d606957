"""The KV cache of one sequence as the kernels read it: all layers in one buffer."""

import torch

from runtime.inference.kv_cache import capacity


class WholeKVCache:
    """Keys and values [L, 2, H, capacity, D], in what a sequence's tokens were computed in."""

    def __init__(self, layers: int, heads: int, width: int, dtype: torch.dtype) -> None:
        self.length = 0
        self.buffer = torch.empty(layers, 2, heads, 0, width, dtype=dtype)

    def make_room(self, tokens: int) -> None:
        """For so many tokens in all."""
        layers, parts, heads, room, width = self.buffer.shape
        if tokens <= room:
            return
        larger = self.buffer.new_empty(layers, parts, heads, capacity(tokens), width)
        larger[:, :, :, : self.length] = self.buffer[:, :, :, : self.length]
        self.buffer = larger

    def append(self, layer: int, key_1HTD: torch.Tensor, value_1HTD: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """Add new tokens' keys and values to one layer; returns all of that layer's. For passes without the kernels.

        `length` is the caller's, and grows after the last layer.
        """
        end = self.length + key_1HTD.shape[2]
        self.make_room(end)
        own = self.buffer[layer]
        own[0, :, self.length : end] = key_1HTD[0]
        own[1, :, self.length : end] = value_1HTD[0]
        return own[0, None, :, :end], own[1, None, :, :end]

    def prefix(self, length: int) -> "WholeKVCache":
        """A copy of the first tokens'."""
        layers, _, heads, _, width = self.buffer.shape
        copy = WholeKVCache(layers, heads, width, self.buffer.dtype)
        copy.make_room(length + 1)
        copy.buffer[:, :, :, :length] = self.buffer[:, :, :, :length]
        copy.length = length
        return copy

    @property
    def capacity(self) -> int:
        """Tokens that there is room for."""
        return self.buffer.shape[3]

    @property
    def nbytes(self) -> int:
        return self.buffer.nbytes

    @property
    def bytes_per_token(self) -> int:
        return self.buffer[:, :, :, :1].nbytes
