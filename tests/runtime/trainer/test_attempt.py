"""How an attempt begins, and what it says at its end."""

from collections.abc import Callable
from pathlib import Path

import pytest

from runtime.model.failures import DoesNotFit
from runtime.trainer import __main__ as trainer
from runtime.trainer.attempt import Attempt
from state import clock, store
from state.jobs import JobFolder, Status
from tests import jobs


def _started(root: Path) -> JobFolder:
    """A job that has begun before."""
    folder = jobs.make(root)
    store.write(folder.status_file, Status(status="pending", attempt=1, started_at=clock.now()))
    return folder


def test_what_a_killed_trainer_left_of_a_checkpoint_goes(tmp_path: Path) -> None:
    folder = _started(tmp_path)
    for name in ("step-2", ".step-3.new", ".step-1.removed", "by hand"):
        (folder.checkpoints / name).mkdir(parents=True)

    Attempt(folder).begin()

    assert {path.name for path in folder.checkpoints.iterdir()} == {"step-2", "by hand"}


def test_a_checkpoint_that_was_being_replaced_is_there_again_and_counts(tmp_path: Path) -> None:
    folder = _started(tmp_path)
    (folder.checkpoints / ".step-2.replaced").mkdir(parents=True)

    Attempt(folder).begin()

    assert jobs.status(folder).attempt_step == 2


@pytest.mark.parametrize(
    ("error", "remedy"),
    [
        (DoesNotFit("It fits with 300", 300), {"training_config.max_seq_length": 300}),
        (DoesNotFit("Nothing is short enough", None), None),
        (MemoryError(), {"training_config.max_seq_length": 64}),
        (ValueError("something else"), None),
    ],
)
def test_a_job_without_enough_memory_says_what_would_help(
    tmp_path: Path, error: Exception, remedy: dict[str, int] | None
) -> None:
    attempt = Attempt(_started(tmp_path))
    attempt.longest = 128

    trainer._outcome(attempt, _raising(error))

    status = jobs.status(attempt.folder)
    assert (status.status, status.remedy) == ("failed", remedy)
    attempt.begin()
    assert jobs.status(attempt.folder).remedy is None


def _raising(error: Exception) -> Callable[[], None]:
    def work() -> None:
        raise error

    return work
