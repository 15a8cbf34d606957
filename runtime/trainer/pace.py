"""How long the rest of a run takes: by its steps of the last half minute, and by what its pauses between steps took.

Not by the mean since the beginning: of a run that has the cores for itself by now, that would be wrong for as long
again as it was slow.
"""

import math
import time
from collections.abc import Callable

LATELY_S = 30.0
FEWEST_STEPS = 2  # the first one, which makes what later ones find made, is not counted


class Pace:
    """Measures a run from now on. `look_every` and `save_every`: steps between two evaluations, and two checkpoints."""

    def __init__(
        self,
        step: int,
        total_steps: int,
        look_every: int,
        save_every: int,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._step = step
        self._total_steps = total_steps
        self._every = [every for every in (look_every, save_every) if every > 1]  # else each step has its pause
        self._pauses_s = [0.0] * len(self._every)
        self._clock = clock
        self._last_s: float | None = None
        self._steps = self._seconds = 0.0
        self._counted = 0

    def stepped(self) -> None:
        """A step was taken just now."""
        now, before, self._step = self._clock(), self._step, self._step + 1
        if self._last_s is not None:
            self._count(now - self._last_s, before)
        self._last_s = now

    def left_s(self) -> float | None:
        """None until enough steps were taken to tell."""
        if self._counted < FEWEST_STEPS:
            return None
        pauses = (
            pause_s * (math.ceil(self._total_steps / every) - (self._step - 1) // every)  # that of the last step, too
            for pause_s, every in zip(self._pauses_s, self._every, strict=True)
        )
        return self._step_s() * (self._total_steps - self._step) + sum(pauses)

    def _count(self, seconds: float, before: int) -> None:
        """A step with what was done before it, after step `before`: an evaluation or a checkpoint, or nothing else."""
        for number, every in enumerate(self._every):
            if before % every == 0:
                self._pauses_s[number] = max(0.0, seconds - self._step_s()) if self._counted else 0.0
                return
        kept = math.exp(-seconds / LATELY_S)
        self._steps, self._seconds = kept * self._steps + 1, kept * self._seconds + seconds
        self._counted += 1

    def _step_s(self) -> float:
        return self._seconds / self._steps
