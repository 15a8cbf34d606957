"""Which accelerator is used by whom: by each training, by inference, by a plan.

What trainings use is found at each round of the queue, from the trainers that live: this server's own, and those of a
server before it, whose status.json says what they were given. So nothing is forgotten over a restart; until the first
look it is not known, and where that matters the answer is Busy.
"""

import threading
import time
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping
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
        self._training_is_known = False
        self._planning: str | None = None
        self._inference: Counter[str] = Counter()
        self._inference_ended_s: dict[str, float] = {}
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
        counted = Counter(accelerator for accelerator in training if accelerator is not None)
        with self._lock:
            self._training = counted
            self._training_is_known = True

    def for_training(self, preferred: str | None) -> str | None:
        """Fewest training jobs; ties: no inference, no plan, then `preferred`. None on a CPU."""
        with self._lock:
            return self._first(lambda name: (*self._load(name), name == self._planning, name != preferred))

    def for_spare(self, preferred: str | None) -> str | None:
        """The one that the next training is likely to get, when a plan that is being made is over."""
        with self._lock:
            return self._first(lambda name: (*self._load(name), name != preferred))

    @contextmanager
    def launching(self, accelerator: str | None) -> Iterator[None]:
        """Count a training while it is launched, then until the next look; not one whose launch fails."""
        with self._lock:
            self._training.update(_one(accelerator))
        try:
            yield
        except BaseException:
            with self._lock:
                self._training -= _one(accelerator)
            raise

    @contextmanager
    def inferring(self) -> Iterator[Mapping[str, str]]:
        """Give an inference worker the one with the fewest trainings, for its life: the environment to start it with.

        Raises Busy where there is a choice and what trains is not known yet.
        """
        with self._lock:
            if len(self._present) > 1:
                self._check_training_is_known()
            chosen = self._first(lambda name: (self._training[name], name == self._planning))
            self._inference.update(_one(chosen))
        try:
            yield self.environment(chosen)
        finally:
            with self._lock:
                self._inference -= _one(chosen)
                if chosen is not None:
                    self._inference_ended_s[chosen] = time.monotonic()

    def has_inference(self, accelerator: str | None) -> bool:
        """Whether inference computes where this one does; on a CPU all do."""
        return accelerator is None or self._inference[accelerator] > 0

    def had_inference(self, accelerator: str | None, since_s: float) -> bool:
        """Whether an inference worker has lived on an accelerator at any time since (time.monotonic)."""
        if accelerator is None:
            return False
        with self._lock:
            ended_s = self._inference_ended_s.get(accelerator)
            return self._inference[accelerator] > 0 or (ended_s is not None and ended_s >= since_s)

    def has_plan(self, accelerator: str | None) -> bool:
        """Whether a plan is being timed on this one. On a CPU it is timed beside whatever runs."""
        return accelerator is not None and accelerator == self._planning

    @contextmanager
    def planning(self) -> Iterator[str | None]:
        """Give a plan one that trains nothing, for as long as it is made; None on a CPU.

        Beside a training, the plan would take that one's memory and both would be timed wrong. Raises Busy when all of
        them train, or what trains is not known yet.
        """
        with self._lock:
            if self._present:
                self._check_training_is_known()
            idle = [name for name in self._present if not self._training[name]]
            if self._present and not idle:
                raise Busy(
                    "A plan is measured on an accelerator that trains nothing, and all of them train: "
                    "ask again when a job has ended"
                )
            self._planning = min(idle, key=lambda name: self._inference[name] > 0, default=None)
        try:
            yield self._planning
        finally:
            with self._lock:
                self._planning = None

    def _check_training_is_known(self) -> None:
        if not self._training_is_known:
            raise Busy("The server has just started and looks which accelerators train: try again in a moment")

    def _load(self, name: str) -> tuple[int, bool]:
        return self._training[name], self._inference[name] > 0

    def _first(self, order: Callable[[str], tuple[int, ...]]) -> str | None:
        return min(self._present, key=order, default=None)


def _one(accelerator: str | None) -> Counter[str]:
    return Counter() if accelerator is None else Counter([accelerator])
