"""Keys and values in pages on a CPU: the code that a GPU runs, with CUDA's graphs replaced by a recorder of operations.

Like a CUDA graph, what is replayed is the operations on the tensors that there were, and nothing of Python's: a length
or a page that did not come through the graph's inputs would stay what it was.
"""

from collections.abc import Callable
from typing import Any

import torch
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

ASKS_THE_DEVICE = ("_local_scalar_dense", "nonzero", "masked_select", "lift_fresh", "equal", "unique")


class Recording(TorchDispatchMode):
    """Every operation with the tensors that it was called with and the one that it made."""

    def __init__(self) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.calls: list[tuple[Any, Any, Any, Any]] = []

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        found = func(*args, **kwargs or {})
        self.calls.append((func, args, kwargs or {}, found))
        return found

    def replay(self) -> None:
        for func, args, kwargs, found in self.calls:
            for old, new in zip(tree_leaves(found), tree_leaves(func(*args, **kwargs)), strict=True):
                if isinstance(old, torch.Tensor) and old.data_ptr() != new.data_ptr():
                    old.copy_(new)


class Recorder:
    """In the place of CUDA's graphs; `shapes` are those of the logits that were recorded."""

    def __init__(self) -> None:
        self.shapes: list[tuple[int, ...]] = []
        self.replays = 0

    def __call__(self, compute: Callable[[], torch.Tensor]) -> Callable[[], torch.Tensor]:
        with Recording() as recording:
            found = compute()
        asked = {str(func) for func, *_ in recording.calls if any(name in str(func) for name in ASKS_THE_DEVICE)}
        assert not asked, "a CUDA graph cannot hold what asks the device for a result, or brings something from Python"
        self.shapes.append(tuple(found.shape))

        def replay() -> torch.Tensor:
            self.replays += 1
            recording.replay()
            return found

        return replay
