"""A pass that does not end is noticed, from a thread that does."""

import threading
import time
from collections.abc import Callable

import pytest

from runtime.inference.watchdog import watch


def test_a_pass_that_hangs_is_ended_in_words_and_shown_where_it_hangs(capfd: pytest.CaptureFixture[str]) -> None:
    began = time.monotonic()
    reasons: list[str] = []

    watch(lambda: began, reasons.append, limit_s=0.05)

    assert reasons == ["The model has computed for more than 0.05 s without a token, and is taken to hang"]
    assert "test_a_pass_that_hangs" in capfd.readouterr().err


@pytest.mark.parametrize("pass_began_s", [lambda: None, time.monotonic])
def test_a_worker_that_waits_or_comes_forward_is_left_alone(pass_began_s: Callable[[], float | None]) -> None:
    reasons: list[str] = []
    looks = iter([pass_began_s] * 20)

    def began_s() -> float | None:
        return next(looks, lambda: 0.0)()  # at last a pass that began long ago

    watching = threading.Thread(target=watch, args=(began_s, reasons.append, 0.05))
    watching.start()
    watching.join(0.1)
    was_left_alone = watching.is_alive() and reasons == []
    watching.join()

    assert was_left_alone
    assert len(reasons) == 1
