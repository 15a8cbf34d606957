"""The index of the folders: as fresh as the files, and one entry's problem is its own."""

import asyncio
import json
import os
import shutil
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from runtime.server.index import Index
from state import jobs
from state.errors import Busy, NotFound
from state.jobs import JobState
from state.root import DataRoot
from tests.server import wait_until

BORN = datetime(2026, 1, 1, tzinfo=UTC)


@pytest.fixture
def root(tmp_path: Path) -> DataRoot:
    root = DataRoot.at(tmp_path)
    root.create()
    return root


def _job(root: DataRoot, job_id: str, status: str = "completed", **fields: Any) -> Path:
    folder = root.training_jobs / f"job_{job_id}"
    folder.mkdir()
    (folder / "job.json").write_text(json.dumps({"model_name": "toy"} | fields))
    (folder / "status.json").write_text(json.dumps({"status": status}))
    return folder


def _adapter(root: DataRoot, name: str, config: str = '{"peft_type": "LORA"}') -> Path:
    folder = root.adapters / name
    folder.mkdir()
    (folder / "adapter_config.json").write_text(config)
    (folder / "adapter_model.safetensors").write_bytes(b"")
    return folder


def _read(root: DataRoot) -> Index:
    index = Index(root)
    for job_id in index.job_ids():
        index.refresh_job(job_id)
    for name in index.adapter_names():
        index.refresh_adapter(name)
    index.jobs_are_read = index.adapters_are_read = True
    return index


def test_a_job_is_never_older_than_its_files(root: DataRoot) -> None:
    """Written in place, to the same size, faster than the file system's clock ticks."""
    folder = _job(root, "edited")
    index = _read(root)

    for step in range(100, 400):
        (folder / "status.json").write_text(json.dumps({"status": "running", "current_step": step}))
        assert index.job("edited").status.current_step == step
        assert asyncio.run(index.job_now("edited")).status.current_step == step


def test_an_edit_that_puts_the_old_time_back_is_seen(root: DataRoot) -> None:
    folder = _job(root, "edited")
    index = _read(root)
    before = (folder / "job.json").stat()

    (folder / "job.json").write_text('{"model_name": "two"}')
    os.utime(folder / "job.json", ns=(before.st_atime_ns, before.st_mtime_ns))

    assert index.job("edited").model_name == "two"


def test_an_entry_is_answered_from_its_files_before_the_folders_are_read(root: DataRoot) -> None:
    _job(root, "there")
    _adapter(root, "there")
    index = Index(root)

    assert index.jobs() == []
    assert index.job("there").status.status == "completed"
    assert index.adapter("there").name == "there"
    with pytest.raises(NotFound):
        index.job("elsewhere")


def test_a_name_is_not_given_away_before_every_job_is_known(root: DataRoot) -> None:
    _job(root, "waiting", "pending", adapter_name="claimed")

    with pytest.raises(Busy):
        Index(root).claimant("claimed")
    assert _read(root).claimant("claimed") == "waiting"
    assert _read(root).claimant("free") is None


def test_pages_follow_each_other_through_all_jobs_of_a_status(root: DataRoot) -> None:
    for number in range(25):
        created_at = (BORN + timedelta(seconds=number // 2)).isoformat()  # two of each moment
        _job(root, f"n{number:02}", "failed" if number % 5 == 0 else "completed", created_at=created_at)
    index = _read(root)

    counts: dict[JobState | None, int] = {"completed": 20, "failed": 5, None: 25}
    for status, expected in counts.items():
        seen: list[str] = []
        last = None
        while page := index.jobs(status, last, 3):
            seen += [entry.job_id for entry in page]
            last = page[-1].key
        assert seen == [entry.job_id for entry in index.jobs(status)]
        assert len(seen) == len(set(seen)) == index.count_jobs(status) == expected
    keys = [entry.key for entry in index.jobs()]
    assert keys == sorted(keys, reverse=True)


def test_a_job_moves_from_status_to_status(root: DataRoot) -> None:
    folder = _job(root, "moving", "pending")
    index = _read(root)
    assert [entry.job_id for entry in index.unfinished()] == ["moving"]

    (folder / "status.json").write_text('{"status": "failed"}')
    index.refresh_job("moving")
    assert (index.unfinished(), index.count_jobs("pending"), index.count_jobs("failed")) == ([], 0, 1)

    shutil.rmtree(folder)
    index.refresh_job("moving")
    assert (index.jobs(), index.count_jobs()) == ([], 0)


def test_steps_that_a_job_takes_again_are_counted_again_and_none_is_taken_back(root: DataRoot) -> None:
    folder = _job(root, "counted", "running")
    index, seen = _read(root), []

    for step in (0, 7, 5, 9, 9, 0, 2):  # killed behind step 7, and later begun from scratch
        status = {"status": "running", "current_step": step, "tokens": 100 * step}
        (folder / "status.json").write_text(json.dumps(status))
        index.refresh_job("counted")
        seen.append((index.steps_taken, index.tokens_trained))

    assert [steps for steps, _ in seen] == [0, 7, 7, 11, 11, 11, 13]
    assert [tokens for _, tokens in seen] == [0, 700, 700, 1100, 1100, 1100, 1300]
    assert _read(root).tokens_trained == 0  # since it began


def test_jobs_are_known_by_their_data_and_adapters_by_their_job(root: DataRoot) -> None:
    folder = _job(root, "maker", dataset_name="poems", eval_dataset_name="poems")
    _adapter(root, "old")
    record = {"model_name": "toy", "created_at": BORN.isoformat(), "job_id": "maker"}
    (root.adapters / "old" / "adapter.json").write_text(json.dumps(record))
    index = _read(root)
    assert [entry.job_id for entry in index.jobs_with_data("poems")] == ["maker"]
    assert (index.count_jobs_with_data("poems"), index.adapters_of(index.job("maker"))) == (1, ["old"])

    (root.adapters / "old").rename(root.adapters / "new")
    (folder / "job.json").write_text('{"model_name": "toy", "dataset_name": "prose"}')
    for name in ("old", "new"):
        index.refresh_adapter(name)
    assert index.adapters_of(index.job("maker")) == ["new"]
    assert [len(index.jobs_with_data(name)) for name in ("poems", "prose")] == [0, 1]

    shutil.rmtree(folder)
    index.refresh_job("maker")
    assert (index.jobs_with_data("prose"), index.count_jobs_with_data("prose")) == ([], 0)


def test_a_time_without_a_zone_stands_beside_one_with_a_zone(root: DataRoot) -> None:
    _job(root, "with", created_at="2026-01-01T00:00:01Z")
    _job(root, "without", created_at="2026-01-01T00:00:02")

    assert [entry.job_id for entry in _read(root).jobs()] == ["without", "with"]


def test_aliases_that_do_not_parse_leave_adapters_listed_under_their_bases_own_name(root: DataRoot) -> None:
    (root.models / "aliases.json").write_text("{oops")
    _adapter(root, "copied", '{"peft_type": "LORA", "base_model_name_or_path": "some/base"}')

    assert [(found.model_name, found.problem) for found in _read(root).adapters()] == [("some/base", None)]


def test_a_bad_job_is_listed_with_its_problem_and_every_other_is_fresh(root: DataRoot) -> None:
    (root.training_jobs / "job_folder" / "job.json").mkdir(parents=True)
    os.mkfifo(_job(root, "pipe") / "status.json.new")
    (root.training_jobs / "job_pipe" / "status.json.new").rename(root.training_jobs / "job_pipe" / "status.json")
    far_away = _job(root, "far-away", created_at=None) / "job.json"
    os.utime(far_away, (1e12, 1e12))  # the year 33658
    _job(root, "good")

    index = _read(root)

    problems = {entry.job_id: entry.problem for entry in index.jobs()}
    assert problems.pop("folder") == "job_folder/job.json: Is a directory"
    assert problems.pop("pipe") == "job_pipe/status.json: is a pipe, whose end may never come"
    assert problems == {"far-away": None, "good": None}


def test_a_folder_that_may_not_be_looked_into_is_listed_with_its_problem(
    root: DataRoot, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Mode 0700 and somebody else's, as `sudo` leaves them. Root may look into everything, so the refusal is played."""
    locked = [_job(root, "locked"), _adapter(root, "locked")]
    _job(root, "good")
    _adapter(root, "good")
    stat = os.stat

    def refusing(path: Any, **options: Any) -> os.stat_result:
        if any(str(path).startswith(f"{folder}/") for folder in locked):
            raise PermissionError(13, "Permission denied", str(path))
        return stat(path, **options)

    monkeypatch.setattr(os, "stat", refusing)
    index = _read(root)

    problems = {entry.job_id: entry.problem for entry in index.jobs()}
    assert problems == {"locked": "job_locked/job.json: Permission denied", "good": None}
    assert not index.job("locked").folder.is_training()
    assert {adapter.name: adapter.problem is None for adapter in index.adapters()} == {"locked": False, "good": True}
    assert "Permission denied" in (index.adapter("locked").problem or "")


def test_an_adapter_whose_reading_fails_as_nobody_foresaw_is_listed_with_its_problem(
    root: DataRoot, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    _adapter(root, "odd")
    monkeypatch.setattr("state.adapters.read", lambda *_: 1 / 0)

    [adapter] = _read(root).adapters()

    assert adapter.problem == "adapters/odd: cannot be read (division by zero)"
    assert "ZeroDivisionError" in caplog.text


def test_a_folder_is_listed_again_only_when_something_came_or_went_and_none_is_overlooked(
    root: DataRoot, monkeypatch: pytest.MonkeyPatch
) -> None:
    listed: list[str] = []
    all_ids = jobs.all_ids

    def list_ids(root: DataRoot) -> set[str]:
        listed.append("once")
        return all_ids(root)

    monkeypatch.setattr(jobs, "all_ids", list_ids)
    (root.training_jobs / "job_empty").mkdir()
    index = Index(root)

    def is_listed_anew() -> bool:
        before = len(listed)
        assert index.job_ids() >= {"empty"}
        return len(listed) > before

    assert is_listed_anew()
    wait_until(lambda: not is_listed_anew(), "the folder is at rest")  # a tick of the kernel's clock later
    (root.training_jobs / "job_empty" / "job.json").write_text('{"model_name": "toy"}')
    assert not is_listed_anew()
    assert index.refresh_job("empty") is not None
    (root.training_jobs / "job_new").mkdir()
    assert is_listed_anew()
    assert index.job_ids() == {"empty", "new"}
