"""What follows the folders: few watches, a sweep for the rest, and nothing that ends for one failure."""

import asyncio
import json
import logging
import sys
from collections.abc import AsyncIterator, Callable, Coroutine
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from typing import Any

import pytest

from runtime.server import watch
from runtime.server.index import Index
from runtime.server.watch import Watch
from state.root import DataRoot
from tests.server import PATIENCE_S

FINISHED = 300


@pytest.fixture
def root(tmp_path: Path) -> DataRoot:
    root = DataRoot.at(tmp_path)
    root.create()
    for number in range(FINISHED):
        _job(root, f"ended-{number}", "completed")
    return root


def _job(root: DataRoot, job_id: str, status: str) -> Path:
    folder = root.training_jobs / f"job_{job_id}"
    folder.mkdir()
    (folder / "job.json").write_text('{"model_name": "toy"}')
    (folder / "status.json").write_text(json.dumps({"status": status}))
    return folder


@asynccontextmanager
async def _working(*works: Callable[[], Coroutine[Any, Any, None]]) -> AsyncIterator[None]:
    tasks = [asyncio.create_task(watch.keep_up("The test", work)) for work in works]
    try:
        yield
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


async def _until(condition: Callable[[], bool]) -> None:
    async with asyncio.timeout(PATIENCE_S):
        while not condition():  # noqa: ASYNC110  of another thread, or of the kernel
            await asyncio.sleep(0.01)


def _watches() -> int:
    """inotify's, of this process, as the kernel lists them."""
    found = 0
    for file in Path("/proc/self/fdinfo").iterdir():
        with suppress(FileNotFoundError):  # closed meanwhile
            found += sum(line.startswith("inotify wd:") for line in file.read_text().splitlines())
    return found


@pytest.mark.skipif(sys.platform != "linux", reason="counts the kernel's watches in /proc, which only Linux has")
def test_finished_jobs_have_no_watch(root: DataRoot) -> None:
    for number in range(3):
        _job(root, f"waiting-{number}", "pending")
    index = Index(root)
    follow = Watch(root, index, lambda: None)

    async def work() -> None:
        async with _working(follow.read_and_sweep, follow.follow_parents, follow.follow_restless):
            await _until(lambda: _watches() == 3 + 3)

            (root.training_jobs / "job_waiting-1" / "status.json").write_text('{"status": "cancelled"}')
            await _until(lambda: len(index.unfinished()) == 2)
            await _until(lambda: _watches() <= 3 + 3)

    asyncio.run(work())


def test_a_hand_edit_of_a_finished_job_is_found_without_a_request(
    root: DataRoot, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(watch, "SHORTEST_SWEEP_S", 0.05)
    monkeypatch.setattr(watch, "SLICE_S", 0.02)
    index = Index(root)

    async def work() -> None:
        async with _working(Watch(root, index, lambda: None).read_and_sweep):
            await _until(lambda: index.adapters_are_read)
            assert index.count_jobs("completed") == FINISHED

            (root.training_jobs / "job_ended-7" / "status.json").write_text('{"status": "failed"}')

            await _until(lambda: [entry.job_id for entry in index.jobs("failed")] == ["ended-7"])

    asyncio.run(work())


def test_a_job_written_file_by_file_is_seen_by_its_events(root: DataRoot) -> None:
    """No sweep: `mkdir`, later the files, later a change of one."""
    index = Index(root)
    follow = Watch(root, index, lambda: None)

    async def work() -> None:
        async with _working(follow.follow_parents, follow.follow_restless):
            folder = root.training_jobs / "job_slowly"
            async with asyncio.timeout(PATIENCE_S):  # the watches on the parents may not be there yet
                while not follow._restless:
                    folder.mkdir(exist_ok=True)
                    await asyncio.sleep(0.2)
                    if not follow._restless:
                        folder.rmdir()
            (folder / "job.json").write_text('{"model_name": "one"}')
            await _until(lambda: [entry.model_name for entry in index.jobs()] == ["one"])
            (folder / "job.json").write_text('{"model_name": "two"}')
            await _until(lambda: [entry.model_name for entry in index.jobs()] == ["two"])

    asyncio.run(work())


def test_what_changes_while_the_watches_follow_a_new_set_of_folders_is_seen(
    root: DataRoot, monkeypatch: pytest.MonkeyPatch
) -> None:
    index = Index(root)
    first = _job(root, "first", "pending")
    index.refresh_job("first")

    async def events(folders: set[Path], *_: object) -> AsyncIterator[set[Path]]:
        """None: what changes, changes while the watches on these folders are not there yet."""
        if folders == {first}:
            _job(root, "second", "pending")
            index.refresh_job("second")
        else:
            (first / "status.json").write_text('{"status": "cancelled"}')
        while True:
            yield set()
            await asyncio.sleep(0.01)

    monkeypatch.setattr(watch, "_events", events)

    async def work() -> None:
        async with _working(Watch(root, index, lambda: None).follow_restless):
            await _until(lambda: index.count_jobs("cancelled") == 1)

    asyncio.run(work())


def test_a_sweep_wakes_the_queue_for_changes_alone(root: DataRoot, monkeypatch: pytest.MonkeyPatch) -> None:
    """Else a hundred thousand folders at rest would have it look at its jobs all day."""
    monkeypatch.setattr(watch, "SHORTEST_SWEEP_S", 0.0)
    monkeypatch.setattr(watch, "SLICE_S", 0.01)
    index = Index(root)
    woken, swept = 0, 0

    def wake() -> None:
        nonlocal woken
        woken += 1

    def list_ids() -> set[str]:
        nonlocal swept
        swept += 1
        return job_ids()

    job_ids = index.job_ids
    monkeypatch.setattr(index, "job_ids", list_ids)

    async def work() -> None:
        async with _working(Watch(root, index, wake).read_and_sweep):
            await _until(lambda: swept > 3)
            settled = woken
            await _until(lambda: swept > 6)
            assert woken == settled
            (root.training_jobs / "job_ended-7" / "status.json").write_text('{"status": "failed"}')
            await _until(lambda: woken > settled)
            await _until(lambda: index.count_jobs("failed") == 1)  # it may have been woken while the file was empty

    asyncio.run(work())


def test_without_file_events_folders_are_looked_at_and_the_log_says_so_once(
    root: DataRoot, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def none_left(*_: object, **__: object) -> None:
        raise OSError(28, "No space left on device")  # what the kernel says when its watches are used up

    monkeypatch.setattr(watch, "awatch", none_left)
    monkeypatch.setattr(watch, "POLL_S", 0.02)
    monkeypatch.setattr(watch, "UNTIL_NEXT_TRY_S", 0.1)
    index = Index(root)
    follow = Watch(root, index, lambda: None)

    async def work() -> None:
        async with _working(follow.follow_parents, follow.follow_restless):
            folder = _job(root, "new", "pending")
            await _until(lambda: len(index.unfinished()) == 1)
            (folder / "status.json").write_text('{"status": "cancelled"}')
            await _until(lambda: index.count_jobs("cancelled") == 1)

    asyncio.run(work())
    assert caplog.text.count("File events are not to be had") == 1


def test_what_fails_is_logged_with_its_traceback_and_begins_again(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(watch, "LONGEST_PAUSE_S", 0.01)
    begun = 0

    async def failing() -> None:
        nonlocal begun
        begun += 1
        raise ZeroDivisionError

    async def work() -> None:
        async with _working(failing):
            await _until(lambda: begun >= 2)

    with caplog.at_level(logging.ERROR):
        asyncio.run(work())
    assert "ZeroDivisionError" in caplog.text
    assert "The test failed, and begins again" in caplog.text


def test_a_bad_entry_ends_neither_the_reading_nor_the_events(
    root: DataRoot, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    index = Index(root)
    refresh = index.refresh_job

    def failing(job_id: str) -> object:
        if job_id == "ended-3":
            raise ZeroDivisionError
        return refresh(job_id)

    monkeypatch.setattr(index, "refresh_job", failing)

    async def work() -> None:
        async with _working(Watch(root, index, lambda: None).read_and_sweep):
            await _until(lambda: index.adapters_are_read)

    asyncio.run(work())
    assert index.count_jobs() == FINISHED - 1
    assert "ended-3 could not be read" in caplog.text
