"""Which jobs have a trainer, by the last look."""

import threading
from types import SimpleNamespace
from typing import Any

import pytest

from runtime.server.jobs.trainers import Trainers


def test_a_trainer_that_a_look_under_way_has_seen_alive_is_forgotten_all_the_same(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    accelerators: Any = SimpleNamespace(follow=lambda _: None)
    launcher: Any = None
    trainers, entry = Trainers(launcher, accelerators), SimpleNamespace(job_id="it")
    is_seen, goes_on = threading.Event(), threading.Event()

    def has(_: object) -> bool:
        is_seen.set()
        return goes_on.wait()

    monkeypatch.setattr(trainers, "has", has)
    look = threading.Thread(target=trainers.look, args=([entry],))
    look.start()
    is_seen.wait()
    forget = threading.Thread(target=trainers.forget, args=("it",))
    forget.start()
    goes_on.set()
    look.join()
    forget.join()

    assert trainers.living == frozenset()
