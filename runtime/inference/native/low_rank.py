"""Adapters as the kernels read them: two matrices for each of the model's, where an adapter has them."""

from collections.abc import Sequence
from weakref import WeakKeyDictionary

import torch
from msgspec import Struct

from runtime.inference.adapters import LayerChange, LoadedAdapter
from runtime.inference.native.structures import Lora


class Place(Struct, frozen=True):
    """One of the kernels' matrices: its layer's name in the model, and which of that layer's outputs is its first."""

    layer: str
    first: int = 0


class Tables:
    """What the kernels read of adapters, as long as those are loaded."""

    def __init__(self, places: Sequence[Place]) -> None:
        """`places` in the kernels' order."""
        self._places = places
        self._made: WeakKeyDictionary[LoadedAdapter, _Table | None] = WeakKeyDictionary()

    def of(self, adapter: LoadedAdapter) -> "_Table | None":
        """None for an adapter that does more than add low-rank products, or does it elsewhere."""
        if adapter not in self._made:
            is_known = adapter.keys() <= {place.layer for place in self._places}
            adds = is_known and all(map(_only_adds, adapter.values()))
            self._made[adapter] = _Table(adapter, self._places) if adds else None
        return self._made[adapter]


class _Table:
    def __init__(self, adapter: LoadedAdapter, places: Sequence[Place]) -> None:
        self._kept: list[torch.Tensor] = []
        self.loras = (Lora * len(places))(*[self._lora(adapter.get(place.layer), place.first) for place in places])

    def _lora(self, change: LayerChange | None, first: int) -> Lora:
        if change is None or change.a_RI is None or change.b_OR is None:
            return Lora()
        a_RI, b_RO = change.a_RI.contiguous(), change.b_OR.T.contiguous()
        self._kept += [a_RI, b_RO]
        return Lora(a_RI.data_ptr(), b_RO[:, first:].data_ptr(), len(a_RI), b_RO.shape[1])


def _only_adds(change: LayerChange) -> bool:
    others = (change.stretch_O, change.bias_O, change.weight, change.module)
    return change.a_RI is not None and all(part is None for part in others)
