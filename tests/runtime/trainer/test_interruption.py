"""The thread that watches for a stop: it is never deaf, and nothing is written while it may end the process."""

import errno
import os
import signal
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from runtime.trainer import best_adapter, checkpoint, interruption
from runtime.trainer.attempt import Attempt
from runtime.trainer.interruption import SIGNALS, Interruption, Terminated
from runtime.trainer.recipe import train
from state import jobs as records
from state import metrics, samples
from state.root import DataRoot
from tests import jobs


@pytest.fixture
def _signals_as_they_were() -> Iterator[None]:
    before = {number: signal.getsignal(number) for number in SIGNALS}
    yield
    signal.set_wakeup_fd(-1)
    for number, handler in before.items():
        signal.signal(number, handler)


class End:
    """Instead of the process's end: why it would have ended."""

    def __init__(self) -> None:
        self.reason: Exception | None = None
        self._came = threading.Event()

    def __call__(self, interrupt: Callable[[], None]) -> None:
        try:
            interrupt()
        except Exception as reason:  # noqa: BLE001
            self.reason = reason
        self._came.set()

    def wait(self) -> Exception | None:
        assert self._came.wait(60)
        return self.reason


@pytest.mark.usefixtures("_signals_as_they_were")
@pytest.mark.parametrize("number", [errno.ESTALE, errno.EIO, errno.EACCES])
def test_a_stop_file_that_cannot_be_looked_at_makes_nobody_deaf(
    number: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    looked = threading.Event()

    def fail(_: Path) -> bool:
        looked.set()
        raise OSError(number, os.strerror(number))

    monkeypatch.setattr(Path, "exists", fail)
    end = End()
    Interruption(tmp_path / "stop").watch(end)
    assert looked.wait(60)

    os.kill(os.getpid(), signal.SIGTERM)

    assert isinstance(end.wait(), Terminated)


@pytest.mark.usefixtures("_signals_as_they_were")
def test_a_watch_that_fails_saves_and_ends_the_run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*_: Any) -> None:
        raise ValueError("filedescriptor out of range in select()")

    monkeypatch.setattr(interruption, "select", type("Failing", (), {"select": staticmethod(fail)}))
    saved, end = threading.Event(), End()
    watching = Interruption(tmp_path / "stop")
    watching.save_first(saved.set)

    watching.watch(end)

    assert str(end.wait()).startswith("filedescriptor out of range")
    assert saved.is_set()


def test_nothing_is_written_in_a_run_while_an_interruption_could_end_it(
    root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Else it could say "running" over an interruption's last word, or leave half a checkpoint."""
    settings = {"save_steps": 2, "logging_steps": 1, "keep": "best"}
    folder = jobs.make(root, eval_texts=jobs.TEXTS[:3], sample_prompts=["a"], training_config=settings)
    attempt, watching = Attempt(folder), Interruption(folder.stop_file)
    attempt.begin()
    written: list[tuple[str, bool]] = []

    def spy(owner: Any, name: str) -> None:
        original = getattr(owner, name)

        def write(*arguments: Any, **options: Any) -> Any:
            written.append((name, _could_interrupt(watching)))
            return original(*arguments, **options)

        monkeypatch.setattr(owner, name, write)

    spy(records, "write_status")
    spy(metrics, "rewind")
    spy(metrics, "append")
    spy(samples, "append")
    spy(samples, "rewind")
    spy(checkpoint, "save_adapter")
    spy(best_adapter, "save")
    spy(best_adapter, "prune")

    train(DataRoot.at(root), attempt, watching)

    assert {name for name, _ in written} == {"write_status", "rewind", "append", "save_adapter", "save", "prune"}
    assert [name for name, could_interrupt in written if could_interrupt] == []


def _could_interrupt(watching: Interruption) -> bool:
    """Asked in another thread, as the watching one would."""
    found: list[bool] = []

    def ask() -> None:
        free = watching._deciding.acquire(blocking=False)
        if free:
            watching._deciding.release()
        found.append(free)

    asking = threading.Thread(target=ask)
    asking.start()
    asking.join()
    return found[0]
