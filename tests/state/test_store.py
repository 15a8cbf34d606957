"""Files that people edit, whatever they write into them; readers and writers at once."""

import errno
import json
import multiprocessing
import os
import threading
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from msgspec import Struct

from state import jobs, metrics, safetensors, store, training_data
from state.adapters import AdapterRecord
from state.errors import BrokenFile
from state.jobs import Job, JobFolder, Status
from tests.server import PATIENCE_S

JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
    max_leaves=20,
)
FIELDS = st.sampled_from([*Job.__struct_fields__, *Status.__struct_fields__, *AdapterRecord.__struct_fields__])
RECORDS = st.dictionaries(FIELDS, JSON, max_size=6)
CONTENTS = (
    st.binary()
    | JSON.map(lambda value: json.dumps(value).encode())
    | RECORDS.map(lambda value: json.dumps(value).encode("utf-8", "surrogatepass"))
)
READERS: list[Callable[[Path], object]] = [
    lambda path: jobs.read_job(JobFolder(path.parent)),
    lambda path: jobs.read_status(JobFolder(path.parent)),
    lambda path: store.read(path, AdapterRecord),
    lambda path: store.read(path, training_data.Dataset),
    store.read_as_written,
    metrics.read,
    safetensors.read_header,
]


@settings(max_examples=300, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(content=CONTENTS)
def test_whatever_a_file_holds_it_is_read_or_reported(tmp_path: Path, content: bytes) -> None:
    file = tmp_path / "job.json"
    (tmp_path / "status.json").write_bytes(content)
    file.write_bytes(content)

    for read in READERS:
        with suppress(BrokenFile):  # and nothing else
            read(file)

    assert file.read_bytes() == content


class Anything(Struct):
    number: int = 0


@pytest.mark.parametrize(
    "content",
    [
        b'\xef\xbb\xbf{"number": 7}',
        b'{\r\n  "number": 7\r\n}\r\n',
        b'{"number": 7, "note": "my own key"}',
        b'\n\n  {"number": 7}  \n',
    ],
    ids=["byte-order mark", "Windows line ends", "an extra key", "blank lines"],
)
def test_what_editors_leave_in_a_file_is_no_error(tmp_path: Path, content: bytes) -> None:
    file = tmp_path / "record.json"
    file.write_bytes(content)

    assert store.read(file, Anything).number == 7


def test_a_record_of_a_later_version_is_refused_by_its_version(tmp_path: Path) -> None:
    (tmp_path / "job.json").write_text('{"version": 2, "model_name": "toy"}')

    with pytest.raises(BrokenFile, match=r"\$\.version"):
        jobs.read_job(JobFolder(tmp_path))


def test_a_record_without_a_version_is_of_the_first(tmp_path: Path) -> None:
    (tmp_path / "job.json").write_text('{"model_name": "toy"}')

    assert jobs.read_job(JobFolder(tmp_path)).version == 1


def test_a_file_that_may_not_be_read_is_reported(tmp_path: Path) -> None:
    (tmp_path / "job.json").mkdir()  # root may read everything but a folder

    with pytest.raises(BrokenFile, match=r"job\.json: Is a directory"):
        jobs.read_job(JobFolder(tmp_path))


def test_a_file_without_measure_is_reported_and_not_read(tmp_path: Path) -> None:
    with (tmp_path / "job.json").open("wb") as file:
        file.truncate(2**40)
    os.mkfifo(tmp_path / "status.json")

    with pytest.raises(BrokenFile, match="is larger than 512 MiB"):
        jobs.read_job(JobFolder(tmp_path))
    with pytest.raises(BrokenFile, match="is a pipe"):
        jobs.read_status(JobFolder(tmp_path))


def _count(path: Path, times: int) -> None:
    store.LOCK_TIMEOUT_S = PATIENCE_S  # no promise is made of how soon a lock comes, where a disk is slow
    for _ in range(times):
        store.update(path, Anything, lambda newest: Anything((newest or Anything()).number + 1))


def test_updates_by_several_processes_lose_none(tmp_path: Path) -> None:
    path = tmp_path / "record.json"
    context = multiprocessing.get_context("spawn")
    processes = [context.Process(target=_count, args=(path, 50)) for _ in range(3)]

    for process in processes:
        process.start()
    for process in processes:
        process.join()

    assert store.read(path, Anything).number == 150


def test_a_reader_sees_the_old_record_or_the_new_never_a_mixture(tmp_path: Path) -> None:
    path = tmp_path / "record.json"
    old, new = {"text": "old " * 5000}, {"text": "new " * 5000}
    store.write(path, old)
    done = threading.Event()
    seen: list[dict[str, Any]] = []

    def read() -> None:
        while not done.is_set():
            seen.append(store.read_as_written(path))

    reader = threading.Thread(target=read)
    reader.start()
    number = 0
    while number < 100 or (len(seen) < 100 and reader.is_alive()):
        store.write(path, new if number % 2 else old)
        number += 1
    done.set()
    reader.join()

    assert len(seen) >= 100
    assert all(record in (old, new) for record in seen)


def test_a_lock_on_something_missing_makes_no_folder(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError):
        store.write(tmp_path / "missing" / "record.json", Anything())

    assert list(tmp_path.iterdir()) == []


def test_a_line_is_appended_whole_however_little_the_system_writes_at_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write = os.write
    monkeypatch.setattr(os, "write", lambda descriptor, data: write(descriptor, data[:3]))

    store.append_line(tmp_path / "lines.jsonl", {"step": 1})
    store.append_line(tmp_path / "lines.jsonl", {"step": 2})

    assert (tmp_path / "lines.jsonl").read_text() == '{"step":1}\n{"step":2}\n'


def test_a_line_that_a_full_disk_cuts_off_leaves_the_file_as_it_was(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = tmp_path / "lines.jsonl"
    store.append_line(file, {"step": 1})
    write = os.write
    written = 0

    def until_full(descriptor: int, data: bytes) -> int:
        nonlocal written
        if written == 3:
            raise OSError(errno.ENOSPC, "No space left on device")
        written += write(descriptor, data[:3])
        return 3

    monkeypatch.setattr(os, "write", until_full)
    with pytest.raises(OSError, match="No space left"):
        store.append_line(file, {"step": 2})
    monkeypatch.undo()
    store.append_line(file, {"step": 3})

    assert file.read_text() == '{"step":1}\n{"step":3}\n'
