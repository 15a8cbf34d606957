"""How an attempt begins."""

from pathlib import Path

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
