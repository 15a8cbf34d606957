"""How long a run still takes, told from its steps so far."""

import pytest

from runtime.trainer.pace import Pace


class _Run:
    """A run by a clock of its own: 20 steps, an evaluation after every 8th, a checkpoint after every 5th."""

    def __init__(self) -> None:
        self.now = 0.0
        self.taken = 0
        self.pace = Pace(0, 20, 8, 5, clock=lambda: self.now)

    def go(self, step_s: float, *, to: int) -> float | None:
        while self.taken < to:
            self.now += (30.0 if self.taken % 8 == 0 else 7.0 if self.taken % 5 == 0 else 0.0) + step_s
            self.pace.stepped()
            self.taken += 1
        return self.pace.left_s()


def test_what_is_left_is_told_from_the_third_step_on() -> None:
    run = _Run()

    assert run.go(2.0, to=2) is None
    assert run.go(2.0, to=3) == pytest.approx(17 * 2.0)


def test_evaluations_and_checkpoints_to_come_count_with_what_one_took() -> None:
    run = _Run()

    assert run.go(2.0, to=10) == pytest.approx(10 * 2.0 + 2 * 30.0 + 3 * 7.0)  # after 16 and 20; after 10, 15 and 20
    assert run.go(2.0, to=20) == pytest.approx(30.0 + 7.0)


def test_a_run_that_becomes_faster_is_soon_told_so() -> None:
    run = _Run()
    run.pace = Pace(0, 1000, 10**6, 10**6, clock=lambda: run.now)
    for _ in range(100):
        run.now += 10.0
        run.pace.stepped()

    for _ in range(100):
        run.now += 1.0
        run.pace.stepped()

    assert run.pace.left_s() == pytest.approx(800 * 1.0, rel=0.1)
