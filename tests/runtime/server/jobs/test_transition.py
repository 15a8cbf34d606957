"""How the server changes status.json: never beside a trainer, and an end that a job has stays."""

from pathlib import Path

import pytest

from runtime.server.jobs.transition import end
from state import jobs, locks, new_jobs
from state.jobs import Job, JobFolder, Status
from state.root import DataRoot
from state.row_source import RowSource


@pytest.fixture
def folder(tmp_path: Path) -> JobFolder:
    root = DataRoot.at(tmp_path)
    root.create()
    return new_jobs.create(root, Job(model_name="toy"), RowSource("train_texts", texts=["some text"]), None)


def test_a_job_that_is_ended_has_no_trainer_any_more(folder: JobFolder) -> None:
    jobs.write_status(folder, Status(status="running", pid=4711))

    written = end(folder, "failed", "broken")

    assert written == jobs.read_status(folder)
    assert written is not None
    assert (written.status, written.pid, written.error_message) == ("failed", None, "broken")
    assert written.completed_at is not None


def test_a_job_that_has_ended_keeps_its_end(folder: JobFolder) -> None:
    jobs.write_status(folder, Status(status="completed"))
    before = folder.status_file.read_bytes()

    assert end(folder, "failed", "broken") is None
    assert folder.status_file.read_bytes() == before


def test_nothing_is_changed_beside_a_trainer(folder: JobFolder) -> None:
    with locks.hold(folder.trainer_lock, 0), pytest.raises(locks.LockHeld):
        end(folder, "failed", "broken")

    assert jobs.read_status(folder).status == "pending"
