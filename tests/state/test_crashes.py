"""A writer that is killed between any two of its file operations leaves the old state or the new, never a third."""

import shutil
import signal
from collections.abc import Iterator
from pathlib import Path

import pytest

from state import adapters, folders, jobs, metrics
from state.errors import BrokenFile
from state.root import DataRoot
from state.row_source import RowSource
from state.rows.row import Row
from tests import crash
from tests.crash import Dying


def _rows(file: Path) -> list[tuple[int, Row]]:
    return list(RowSource(file.name, str(file)).rows())


def _snapshot(root: DataRoot) -> dict[str, object]:
    """What a reader sees: every job, adapter and data set, read in full."""
    seen: dict[str, object] = {}
    for folder in (jobs.find(root, job_id) for job_id in jobs.all_ids(root)):
        jobs.read_job(folder)
        points = metrics.read(folder.metrics_file)
        texts = _rows(folder.train_file) if folder.train_file.exists() else None
        # a new job's id is made up anew each time
        name = folder.job_id if folder.job_id == "ended" else "new"
        seen[f"job {name}"] = (jobs.read_status(folder), [point.step for point in points], texts)
    for path in adapters.all_folders(root):
        adapter = adapters.read(root, path)
        seen[f"adapter {adapter.name}"] = (adapter.description, adapter.tags, adapter.size_mb, adapter.problem)
    for path in root.training_data.iterdir():
        if not path.name.startswith("."):
            seen[f"data {path.name}"] = _rows(path / "train.jsonl")
    return seen


@pytest.fixture(scope="module")
def dying() -> Iterator[Dying]:
    with crash.dying() as dying:
        yield dying


@pytest.mark.parametrize("scenario", crash.SCENARIOS)
def test_a_kill_between_any_two_file_operations_leaves_the_old_state_or_the_new(
    dying: Dying, tmp_path: Path, scenario: str
) -> None:
    prepared = DataRoot.at(tmp_path / "prepared")
    crash.prepare(prepared)
    before = _snapshot(prepared)
    root = DataRoot.at(tmp_path / "whole")
    shutil.copytree(prepared.path, root.path)
    exit_code, operations = dying.run(scenario, root, fatal=0)
    after = _snapshot(root)
    assert exit_code == 0
    assert operations > 3
    assert after != before

    for fatal in range(1, operations + 1):
        root = DataRoot.at(tmp_path / f"killed-{fatal}")
        shutil.copytree(prepared.path, root.path)

        assert dying.run(scenario, root, fatal) == (-signal.SIGKILL, 0)

        if scenario == "upload_again_without_exchange":
            folders.sweep(root.training_data)  # as the server does that starts: it puts the old one back
        assert _snapshot(root) in (before, after), f"killed at operation {fatal} of {operations}"
        if scenario != "create_job":  # a second job is a second job
            exit_code, _ = dying.run(scenario, root, fatal=0)
            assert exit_code == 0 or _snapshot(root) == after
            assert _snapshot(root) == after, f"repeated after a kill at operation {fatal} of {operations}"
        for parent in (root.training_jobs, root.training_data):
            folders.sweep(parent)
            assert not [path for path in parent.iterdir() if path.name.startswith(".")]
        shutil.rmtree(root.path)


def test_a_job_that_cannot_be_read_is_not_taken_for_another(tmp_path: Path) -> None:
    root = DataRoot.at(tmp_path)
    crash.prepare(root)
    folder = jobs.find(root, "ended")
    folder.job_file.write_bytes(b"{")

    with pytest.raises(BrokenFile):
        jobs.read_job(folder)
