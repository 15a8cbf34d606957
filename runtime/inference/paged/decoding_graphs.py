"""Decoding passes as CUDA graphs: recorded once, and replayed with other tokens in the same places.

A pass of a token a sequence is hundreds of small kernels, and launching each from Python takes longer than it computes.
A graph is launched whole. It computes what it was recorded with: so many rows, so many pages at most, one adapter or
none. What changes from pass to pass is in one tensor, that stays where it is.
"""

import logging
from collections.abc import Callable
from functools import partial
from weakref import WeakKeyDictionary, WeakSet

import torch
from msgspec import Struct

from runtime.inference.adapters import LoadedAdapter
from runtime.model.trial import check_close

ROWS = (1, 2, 4, 8, 16, 32)  # a pass is filled up to one of these
TOLERANCE = 0.01  # of the logits' norm: the same kernels on the same rows
BARE = LoadedAdapter()
"""In the place of an adapter where there is none."""

log = logging.getLogger("inference")

Compute = Callable[[], torch.Tensor]
Record = Callable[[Compute], Compute]
"""From a computation to what computes it again, into the same tensor, from what its inputs hold by then."""


def cuda_graph(compute: Compute) -> Compute:
    """Record on CUDA. Raises what a kernel raises that cannot be recorded, such as one that asks for a result.

    All graphs that there are share their memory: one is replayed at a time, and nobody keeps its result.
    """
    graph = torch.cuda.CUDAGraph()
    memory = next((other.pool() for other in _recorded), None)
    own_stream = torch.cuda.stream(torch.cuda.current_stream())  # which a recording that fails would not come back to
    # "thread_local": what other threads do is no reason to fail, as none of them computes
    with own_stream, torch.cuda.graph(graph, pool=memory, capture_error_mode="thread_local"):
        found = compute()
    _recorded.add(graph)

    def replay() -> torch.Tensor:
        graph.replay()
        return found

    return replay


RECORDERS: dict[str, Record] = {"cuda": cuda_graph}
"""By the kind of device."""

_recorded: WeakSet[torch.cuda.CUDAGraph] = WeakSet()


class Graph(Struct):
    """`inputs` stays where it is; `replay` is None until the computation has been warmed up."""

    inputs: torch.Tensor
    replay: Compute | None = None


class DecodingGraphs:
    """Computes decoding passes, by graphs as soon as one is seen for the second time.

    What cannot be recorded, or is another result when it is replayed, is computed plainly from then on.
    """

    def __init__(self, compute: Callable[[torch.Tensor], torch.Tensor], device: torch.device) -> None:
        """`compute` gives logits [N, V] for inputs [N, ...]."""
        self._compute = compute
        self._device = device
        self._record = RECORDERS.get(device.type)
        self._generation = 0
        self._graphs: WeakKeyDictionary[LoadedAdapter, dict[torch.Size, Graph]] = WeakKeyDictionary()
        """An adapter that leaves takes its graphs along."""

    @property
    def are_used(self) -> bool:
        return self._record is not None

    def logits(self, inputs: torch.Tensor, adapter: LoadedAdapter | None, generation: int) -> torch.Tensor:
        """`generation` is another one when what a graph knows has moved."""
        if generation != self._generation:
            self._graphs.clear()
            self._generation = generation
        own = self._graphs.setdefault(BARE if adapter is None else adapter, {})
        graph = own.get(inputs.shape)
        if graph is None:  # the first time warms up: kernels load, and libraries take what memory they want
            graph = own[inputs.shape] = Graph(inputs.to(self._device))
            return self._compute(graph.inputs)
        graph.inputs.copy_(inputs)
        if graph.replay is None:
            return self._recorded(graph)
        return graph.replay().clone()

    def _recorded(self, graph: Graph) -> torch.Tensor:
        """The logits, computed plainly once more; the next ones come from the graph."""
        expected = self._compute(graph.inputs)
        try:
            if self._record is not None:
                graph.replay = self._record(partial(self._compute, graph.inputs))
                check_close(graph.replay().float(), expected.float(), TOLERANCE)
        except Exception as reason:  # noqa: BLE001  whatever it is, there is a plain way; a dead device fails there, too
            log.info("Decoding passes are not recorded as graphs: %s", str(reason))
            self._record = None
            self._graphs.clear()
        return expected


def filled(rows: int) -> int:
    """How many rows a pass of so many is filled up to.

    >>> filled(5), filled(32), filled(33)
    (8, 32, 33)
    """
    return next((size for size in ROWS if size >= rows), rows)
