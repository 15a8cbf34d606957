"""Which accelerator is used by whom: by each training, by inference, by a plan.

What trainings use is found at each round of the queue, from the trainers that live: this server's own, and those of a
server before it, whose status.json says what they were given. So nothing is forgotten over a restart.
"""

import threading
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager

from runtime.process.machine import Machine
from state.errors import Busy

MPS = "mps"


class Accelerators:
    """The accelerators of a machine; none on a CPU. Safe to use from several threads."""

    def __init__(self, machine: Machine) -> None:
        self._are_cuda = machine.device == "cuda"
        self._present = machine.accelerators or ((MPS,) if machine.device == "mps" else ())
        self._training: Counter[str] = Counter()
        self._planning: str | None = None
        self._inference: str | None = None
        self._lock = threading.Lock()

    def environment(self, accelerator: str | None) -> dict[str, str]:
        """What a process needs in its environment from the beginning on. CUDA reads it when it is first used."""
        return {} if accelerator is None or not self._are_cuda else {"CUDA_VISIBLE_DEVICES": accelerator}

    def of(self, recorded: str | None) -> str | None:
        """The accelerator of a trainer with this CUDA_VISIBLE_DEVICES: a process takes the first that it sees."""
        if not self._present:
            return None
        first = (recorded or "").split(",")[0].strip()
        return first if first in self._present else self._present[0]

    def follow(self, training: Iterable[str | None]) -> None:
        """Take note of what the living trainers use, one entry each."""
        with self._lock:
            self._training = Counter(accelerator for accelerator in training if accelerator is not None)

    def for_training(self, preferred: str | None) -> str | None:
        """The one with the fewest trainings, rather without inference, rather the preferred one. None on a CPU."""
        return self._first(lambda name: (*self._load(name), name == self._planning, name != preferred))

    def for_spare(self, preferred: str | None) -> str | None:
        """The one that the next training is likely to get, when a plan that is being made is over."""
        return self._first(lambda name: (*self._load(name), name != preferred))

    def begin_training(self, accelerator: str | None) -> None:
        """Count a training that is about to be launched, until it is found alive."""
        self.follow([*self._training.elements(), accelerator])

    def for_inference(self) -> dict[str, str]:
        """The environment of an inference worker that begins now: the one with the fewest trainings is its own."""
        self._inference = self._first(lambda name: (self._training[name], name == self._planning))
        return self.environment(self._inference)

    def has_inference(self, accelerator: str | None) -> bool:
        """Whether inference computes where this one does; on a CPU all do."""
        return accelerator == self._inference

    def has_plan(self, accelerator: str | None) -> bool:
        """Whether a plan is being timed on this one. On a CPU it is timed beside whatever runs."""
        return accelerator is not None and accelerator == self._planning

    @contextmanager
    def for_plan(self) -> Iterator[str | None]:
        """One that trains nothing, for as long as a plan is made; None on a CPU. Raises Busy when all of them train.

        Beside a training, the plan would take that one's memory and both would be timed wrong.
        """
        with self._lock:
            idle = [name for name in self._present if not self._training[name]]
            if self._present and not idle:
                raise Busy(
                    "A plan is measured on an accelerator that trains nothing, and all of them train: "
                    "ask again when a job has ended"
                )
            self._planning = min(idle, key=lambda name: name == self._inference, default=None)
        try:
            yield self._planning
        finally:
            self._planning = None

    def _load(self, name: str) -> tuple[int, bool]:
        return self._training[name], name == self._inference

    def _first(self, order: Callable[[str], tuple[int, ...]]) -> str | None:
        with self._lock:
            return min(self._present, key=order, default=None)
