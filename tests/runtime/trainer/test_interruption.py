"""The thread that watches for an end: it is never deaf, and nothing is written while it may end the process."""

import errno
import os
import shutil
import signal
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from runtime.trainer import best_adapter, checkpoint, interruption, recipe
from runtime.trainer.attempt import Attempt
from runtime.trainer.interruption import SIGNALS, Interruption, Removed, Terminated
from runtime.trainer.progress import Step
from runtime.trainer.recipe import train
from runtime.trainer.run import Run, compute_gradients
from state import folders, metrics, samples
from state import jobs as records
from state.root import DataRoot
from tests import jobs
from tests.server import PATIENCE_S


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
        assert self._came.wait(PATIENCE_S)
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
    Interruption(jobs.make(tmp_path)).watch(end)
    assert looked.wait(PATIENCE_S)

    os.kill(os.getpid(), signal.SIGTERM)

    assert isinstance(end.wait(), Terminated)


@pytest.mark.usefixtures("_signals_as_they_were")
def test_a_watch_that_fails_saves_and_ends_the_run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*_: Any) -> None:
        raise ValueError("filedescriptor out of range in select()")

    monkeypatch.setattr(interruption, "select", type("Failing", (), {"select": staticmethod(fail)}))
    saved, end = threading.Event(), End()
    watching = Interruption(jobs.make(tmp_path))
    watching.save_first(saved.set)

    watching.watch(end)

    assert str(end.wait()).startswith("filedescriptor out of range")
    assert saved.is_set()


@pytest.mark.usefixtures("_signals_as_they_were")
def test_a_job_without_its_job_file_ends_and_saves_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(interruption, "REMOVED_AFTER_S", 0)
    folder, saved, end = jobs.make(tmp_path), threading.Event(), End()
    watching = Interruption(folder)
    watching.save_first(saved.set)
    watching.watch(end)

    folder.job_file.unlink()

    assert isinstance(end.wait(), Removed)
    assert not saved.is_set()


def test_while_an_editor_has_moved_job_json_away_a_run_writes_nothing_and_then_goes_on(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(interruption, "REMOVED_AFTER_S", 1e9)
    folder, looked, written = jobs.make(tmp_path), threading.Semaphore(0), threading.Event()
    has = folders.has

    def look(*arguments: Any) -> bool:
        looked.release()
        return has(*arguments)

    monkeypatch.setattr(folders, "has", look)
    watching = Interruption(folder)

    def write() -> None:
        with watching.deferred():
            written.set()

    away = folder.job_file.rename(folder.path / "job.json~")
    writing = threading.Thread(target=write)
    writing.start()
    assert looked.acquire(timeout=PATIENCE_S)
    assert looked.acquire(timeout=PATIENCE_S)
    assert not written.is_set()
    away.rename(folder.job_file)

    writing.join(PATIENCE_S)
    assert written.is_set()


def test_nothing_of_a_folder_that_is_removed_while_it_is_trained_comes_back(
    root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Not even where the folder itself is left, as by an `rm -rf` that met a file which was just being written."""
    monkeypatch.setattr(interruption, "REMOVED_AFTER_S", 0)
    folder = jobs.make(root, training_config={"logging_steps": 1, "save_steps": 1})

    def remove_at_the_third_step(run: Run, step: int) -> Step:
        if step == 2:
            shutil.rmtree(folder.path)
            folder.path.mkdir()
        return compute_gradients(run, step)

    monkeypatch.setattr(recipe, "compute_gradients", remove_at_the_third_step)

    with pytest.raises(Removed):
        jobs.train_here(folder)

    assert list(folder.path.iterdir()) == []
    assert list((root / "adapters").iterdir()) == []


def test_nothing_is_written_in_a_run_while_an_interruption_could_end_it(
    root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Else it could say "running" over an interruption's last word, or leave half a checkpoint."""
    settings = {"save_steps": 2, "logging_steps": 1, "keep": "best"}
    folder = jobs.make(root, eval_texts=jobs.TEXTS[:3], sample_prompts=["a"], training_config=settings)
    attempt, watching = Attempt(folder), Interruption(folder)
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
