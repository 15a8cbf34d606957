"""The KV cache of one sequence: the attention keys and values of the tokens that have been computed."""

import torch

GROWTH = 256  # tokens that a sequence's buffers grow by


class KVCache:
    """A pair of buffers [1, H, capacity, D] for each layer.

    On a CPU they are float32: torch's attention of a single bf16 token rearranges all keys first, and took 353 us over
    500 of them where float32 takes 48 (16 heads of 64, 2 cores), for twice the memory.
    """

    def __init__(self) -> None:
        self.length = 0
        self._layers: dict[int, tuple[torch.Tensor, torch.Tensor]] = {}

    def append(self, layer: int, key_1HTD: torch.Tensor, value_1HTD: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """Add new tokens' keys and values to one layer; returns all of that layer's.

        `length` is the caller's, and grows after the last layer: a pass that fails in between can be computed again.
        """
        if key_1HTD.device.type == "cpu":
            key_1HTD, value_1HTD = key_1HTD.float(), value_1HTD.float()
        end = self.length + key_1HTD.shape[2]
        buffers = self._layers.get(layer)
        if buffers is None or buffers[0].shape[2] < end:
            keys, values = (_grown(part, self.length, end) for part in buffers or (key_1HTD, value_1HTD))
            buffers = self._layers[layer] = (keys, values)
        for buffer, new in zip(buffers, (key_1HTD, value_1HTD), strict=True):
            buffer[:, :, self.length : end] = new
        return buffers[0][:, :, :end], buffers[1][:, :, :end]

    def prefix(self, length: int) -> "KVCache":
        """A copy of the first tokens'."""
        copy = KVCache()
        copy.length = length
        copy._layers = {
            layer: (_grown(keys, length, length + 1), _grown(values, length, length + 1))
            for layer, (keys, values) in self._layers.items()
        }
        return copy

    @property
    def nbytes(self) -> int:
        return sum(buffer.nbytes for buffers in self._layers.values() for buffer in buffers)

    @property
    def bytes_per_token(self) -> int:
        return self.nbytes // capacity(self.length)


def capacity(tokens: int) -> int:
    """How many tokens the buffers for so many tokens have room for."""
    return -(-tokens // GROWTH) * GROWTH


def _grown(part_1HTD: torch.Tensor, filled: int, needed: int) -> torch.Tensor:
    larger = part_1HTD.new_empty((*part_1HTD.shape[:2], capacity(needed), part_1HTD.shape[3]))
    larger[:, :, :filled] = part_1HTD[:, :, :filled]
    return larger
