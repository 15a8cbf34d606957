"""Deleting, renaming or training an adapter touches the bytes of no other one, however the other one came to be."""

import json
import os
import shutil
from pathlib import Path

import pytest

from state import adapter_places, adapters, clock, jobs, store
from state.jobs import Job, JobFolder, Status
from state.root import DataRoot
from tests.server import Server, wait_until


def _published(server: Server, name: str, job_id: str, wanted: str | None = None) -> JobFolder:
    """A completed job with a checkpoint, whose adapter is published under `name`, in `out/` too."""
    root = DataRoot.at(server.root)
    folder = JobFolder(root.training_jobs / f"job_{job_id}")
    for made in (folder.adapter, folder.checkpoint(1)):
        made.mkdir(parents=True)
        (made / adapters.CONFIG).write_text('{"peft_type": "LORA"}')
        (made / adapters.WEIGHTS).write_bytes(job_id.encode())
    record = adapters.AdapterRecord(model_name="toy", created_at=clock.now(), job_id=job_id, output_dir="out")
    (folder.adapter / adapters.RECORD).write_bytes(store.pretty(record))
    adapter_places.link_into(folder.adapter, root.adapters / name, job_id)
    adapter_places.link_into(folder.adapter, root.path / "out" / name, job_id)
    store.write(folder.status_file, Status(status="completed", adapter_name=name))
    store.write(folder.job_file, Job(model_name="toy", adapter_name=wanted or name, output_dir="out"))
    _wait_until_listed(server, name)
    return folder


def _wait_until_listed(server: Server, name: str) -> None:
    wait_until(lambda: server.get(f"/adapters/{name}").status_code == 200, f"{name} is listed")


def _has_everything(server: Server, folder: JobFolder, name: str) -> bool:
    places = (
        *(folder.adapter, folder.checkpoint(1)),
        *(server.root / "adapters" / name, server.root / "out" / name),
    )
    weights = [place / adapters.WEIGHTS for place in places]
    return all(file.exists() and file.read_bytes() == folder.job_id.encode() for file in weights)


def _has_nothing(folder: JobFolder) -> bool:
    return not list(folder.path.rglob("*.safetensors"))


def _copy(source: Path, target: Path, how: str) -> None:
    shutil.copytree(source, target, copy_function=os.link if how == "cp -al" else shutil.copy2)


@pytest.mark.parametrize("how", ["cp -r", "cp -al"])
def test_a_copy_by_hand_goes_alone_and_stays_when_the_original_goes(queueing: Server, how: str) -> None:
    key = how[-2:].strip(" -")
    folder = _published(queueing, f"mine-{key}", f"copied-{key}")
    adapter = queueing.root / "adapters" / f"mine-{key}"
    for name in (f"backup-{key}", f"kept-{key}"):
        _copy(adapter, adapter.with_name(name), how)
        _wait_until_listed(queueing, name)

    assert queueing.delete(f"/adapters/backup-{key}").status_code == 200
    assert _has_everything(queueing, folder, f"mine-{key}")

    assert queueing.delete(f"/adapters/mine-{key}").status_code == 200
    assert _has_nothing(folder)
    assert not (queueing.root / "out" / f"mine-{key}").exists()
    assert (adapter.with_name(f"kept-{key}") / adapters.WEIGHTS).read_bytes() == folder.job_id.encode()


@pytest.mark.parametrize("by", ["hand", "PATCH"])
def test_a_renamed_adapter_is_still_the_jobs_own(queueing: Server, by: str) -> None:
    folder = _published(queueing, f"before-{by}", f"renamed-{by}")
    before, after = (queueing.root / "adapters" / f"{when}-{by}" for when in ("before", "after"))
    if by == "hand":
        before.rename(after)
        _wait_until_listed(queueing, after.name)
    else:
        assert queueing.patch(f"/adapters/{before.name}", name=after.name).status_code == 200
        assert _has_everything(queueing, folder, after.name)

    queueing.delete(f"/adapters/{after.name}")

    assert _has_nothing(folder)


def test_links_in_a_circle_hold_up_neither_a_renaming_nor_a_deletion(queueing: Server) -> None:
    folder = _published(queueing, "before-the-circle", "beside-circles")
    circles = [queueing.root / parent / "circle" for parent in ("adapters", "training_jobs", "models")]
    for circle in circles:
        circle.symlink_to("circle")
    try:
        renamed = queueing.patch("/adapters/before-the-circle", name="after-the-circle")
        deleted = queueing.delete("/adapters/after-the-circle")
    finally:
        for circle in circles:
            circle.unlink()

    assert (renamed.status_code, deleted.status_code) == (200, 200)
    assert _has_nothing(folder)


def test_of_a_renamed_adapter_and_its_copy_neither_takes_the_jobs_bytes_along_before_the_last(queueing: Server) -> None:
    folder = _published(queueing, "first", "ambiguous")
    _copy(queueing.root / "adapters" / "first", queueing.root / "adapters" / "copy", "cp -r")
    _wait_until_listed(queueing, "copy")
    queueing.patch("/adapters/first", name="second")

    queueing.delete("/adapters/copy")
    assert _has_everything(queueing, folder, "second")

    queueing.delete("/adapters/second")
    assert _has_nothing(folder)


def test_renaming_a_copy_leaves_the_original_where_output_dir_asked_for_it(queueing: Server) -> None:
    folder = _published(queueing, "original", "stays")
    _copy(queueing.root / "adapters" / "original", queueing.root / "adapters" / "twin", "cp -r")
    _copy(queueing.root / "out" / "original", queueing.root / "out" / "twin", "cp -r")
    _wait_until_listed(queueing, "twin")

    queueing.patch("/adapters/twin", name="triplet")

    assert _has_everything(queueing, folder, "original")
    assert (queueing.root / "out" / "twin").exists()


def test_of_two_jobs_that_wanted_one_name_each_keeps_its_own(queueing: Server) -> None:
    first = _published(queueing, "wanted", "came-first")
    second = _published(queueing, "wanted-2", "came-second", wanted="wanted")

    queueing.delete("/adapters/wanted")

    assert _has_nothing(first)
    assert _has_everything(queueing, second, "wanted-2")

    queueing.delete("/adapters/wanted-2")
    assert _has_nothing(second)


def test_a_job_that_is_run_anew_keeps_its_checkpoints_when_its_first_adapter_is_deleted(queueing: Server) -> None:
    folder = _published(queueing, "first-run", "anew")
    store.write(folder.status_file, Status(status="cancelled", current_step=1))

    queueing.delete("/adapters/first-run")

    assert folder.checkpoint(1).exists()
    assert folder.adapter.exists()


def test_an_imported_adapter_is_no_jobs_whatever_its_record_says(queueing: Server) -> None:
    folder = _published(queueing, "home", "imported")
    shutil.copytree(folder.adapter, queueing.root / "brought")
    record = json.loads((queueing.root / "brought" / "adapter.json").read_text())
    assert record["job_id"] == "imported"

    (queueing.root / "brought" / adapters.WEIGHTS).write_bytes((8).to_bytes(8, "little") + b"{}      ")
    assert queueing.post("/adapters/import", {"path": "brought"}).status_code == 200
    queueing.delete("/adapters/brought")

    assert _has_everything(queueing, folder, "home")
    assert jobs.read_status(folder).adapter_name == "home"
