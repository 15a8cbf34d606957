"""What happens when: the promises of docs/what-happens-when.md that no single module keeps."""

import json
import os
import shutil
import signal
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path

import httpx
import pytest

from tests import jobs
from tests.processes import is_alive, on_linux
from tests.server import CHECKOUT, PATIENCE_S, Client, Server, wait_until

NO_INOTIFY = 'echo 0 > /proc/sys/user/max_inotify_instances && exec "$@"'
LONG = {"max_steps": 100_000, "save_steps": 20, "logging_steps": 20}


@pytest.fixture
def start(start_server: Callable[..., Server], tmp_path: Path, toy: Path) -> Callable[..., Server]:
    shutil.copytree(toy, tmp_path / "models" / "toy")
    return start_server


def test_a_job_that_was_accepted_survives_a_server_killed_at_once(start: Callable[..., Server]) -> None:
    accepted: list[str] = []
    for _ in range(2):
        server = start("--slots", "0")

        def submit(server: Server = server) -> None:
            with suppress(httpx.TransportError):  # the server goes
                while True:
                    accepted.append(server.start(model_name="toy"))

        clients = [threading.Thread(target=submit) for _ in range(4)]
        for client in clients:
            client.start()
        already = len(accepted)
        wait_until(lambda before=already: len(accepted) > before + 20, "some jobs are accepted")  # type: ignore[misc]
        server.process.kill()
        server.process.wait()
        for client in clients:
            client.join()

    last = start("--slots", "0")

    listed = {job["job_id"] for job in last.get("/training/jobs").json()["jobs"]}
    assert set(accepted) <= listed
    assert not [path for path in (last.root / "training_jobs").iterdir() if path.name.startswith(".")]
    for job_id in listed:
        assert last.status(job_id)["error_message"] is None


@on_linux
def test_ctrl_c_ends_the_server_and_no_trainer(start: Callable[..., Server]) -> None:
    server = start()
    job_id = server.start(model_name="toy", training_config=LONG)
    server.wait_for_step(job_id, 20)
    trainer = server.trainer(job_id)
    asking = Client(server, "/generate", {"prompt": "x", "model_name": "tiny-python", "max_new_tokens": 2000})
    wait_until(lambda: bool(server.children()), "the inference worker has begun")

    os.killpg(server.process.pid, signal.SIGINT)  # what a terminal does: the whole group
    server.process.wait(timeout=PATIENCE_S)

    asking.go_away()
    assert server.trainer(job_id) == trainer


@on_linux
def test_a_job_folder_that_is_renamed_while_it_runs_goes_on_and_one_that_is_removed_stays_removed(
    start: Callable[..., Server],
) -> None:
    server = start()
    job_id = server.start(model_name="toy", training_config=LONG)
    server.wait_for_step(job_id, 20)

    server.job_folder(job_id).rename(server.root / "training_jobs" / "job_renamed")

    wait_until(lambda: server.get(f"/training/status/{job_id}").status_code == 404, "the old name is gone")
    trainer, folder = server.wait_for_going_on("renamed"), server.job_folder("renamed")
    server.wait_for("renamed", "running")
    assert not server.job_folder(job_id).exists()

    with (folder / "train.log").open() as console:
        console.read()  # the first trainer's words
        shutil.rmtree(folder, ignore_errors=True)  # it leaves what is written meanwhile
        folder.mkdir(exist_ok=True)  # always, so that the trainer could go on writing

        wait_until(lambda: not is_alive(trainer), "the trainer has ended")

        assert "The job's folder was removed or renamed while it was trained" in console.read()
    shutil.rmtree(folder)
    assert server.get("/training/status/renamed").status_code == 404
    wait_until(lambda: server.get("/health").json()["slots"]["busy"] == 0, "its slot is free")


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A file system of 24 MiB."""
    mount = tmp_path / "small"
    mount.mkdir()
    done = subprocess.run(["mount", "-t", "tmpfs", "-o", "size=24m", "tmpfs", mount], capture_output=True, check=False)
    if done.returncode != 0:
        pytest.skip("mounting a small file system needs root")
    yield mount
    subprocess.run(["umount", "--lazy", mount], check=True)


def _fill(ballast: Path) -> None:
    with ballast.open("wb", buffering=0) as file, suppress(OSError):
        while True:
            file.write(b"\0" * 4096)


def test_a_full_disk_fails_the_job_in_words_and_resume_works_when_there_is_space(
    start_server: Callable[..., Server], small_disk: Path, toy: Path
) -> None:
    shutil.copytree(toy, small_disk / "models" / "toy")
    server = start_server(root=small_disk)
    job_id = server.start(model_name="toy", training_config=LONG)
    server.wait_for_step(job_id, 20)

    _fill(small_disk / "ballast")
    failed = server.wait_for(job_id, "failed")

    assert failed["error_message"].startswith("The disk is full: free some space, then resume the job")
    _fill(small_disk / "more ballast")  # the end of the job freed a little
    refused = server.post("/training/start", {"model_name": "toy", "train_texts": ["one two"]})
    assert (refused.status_code, refused.json()) == (
        500,
        {"error": "Failed to start training: No space left on device"},
    )
    assert not [path for path in (small_disk / "training_jobs").iterdir() if path.name.startswith(".")]

    (small_disk / "ballast").unlink()
    last_step = failed["current_step"] + 10
    file = server.job_folder(job_id) / "job.json"
    job = json.loads(file.read_text())
    file.write_text(json.dumps(job | {"training_config": LONG | {"max_steps": last_step}}))
    assert server.post(f"/training/resume/{job_id}").status_code == 200
    done = server.wait_for(job_id, "completed")
    assert done["current_step"] == last_step
    assert "Going on from step-" in (server.job_folder(job_id) / "train.log").read_text()
    server.close()


def test_a_full_disk_refuses_an_export_in_words_and_leaves_nothing_of_it(
    start_server: Callable[..., Server], small_disk: Path, toy: Path, trained: Path
) -> None:
    shutil.copytree(toy, small_disk / "models" / "toy")
    shutil.copytree(trained, small_disk / "adapters" / "trained")
    server = start_server("--slots", "0", root=small_disk)
    ballast = small_disk / "ballast"
    _fill(ballast)
    os.truncate(ballast, ballast.stat().st_size - 300_000)  # less than half of what the merged model needs

    refused = server.post("/adapters/trained/export", {"format": "merged"})

    assert (refused.status_code, refused.json()) == (
        500,
        {"error": "Failed to export adapter: No space left on device"},
    )
    assert not list((small_disk / "exports").iterdir())


def test_a_data_root_that_cannot_be_written_to_is_refused_in_words(small_disk: Path) -> None:
    folder = jobs.make(small_disk)
    for name in ("adapters", "training_data", "models"):
        (small_disk / name).mkdir(exist_ok=True)
    subprocess.run(["mount", "-o", "remount,ro", small_disk], check=True)

    server = subprocess.run(
        [sys.executable, "main.py", "--root", small_disk], cwd=CHECKOUT, capture_output=True, text=True, check=False
    )
    exit_code, output = jobs.run(folder)

    assert server.returncode == 1
    assert "cannot be used as a data root" in server.stderr
    assert "Read-only file system" in server.stderr
    assert (exit_code, "cannot be worked in" in output, "Read-only file system" in output) == (1, True, True)


@on_linux
def test_without_file_events_the_folders_are_read_instead(start: Callable[..., Server]) -> None:
    """In a user namespace of its own, which has no inotify instance: others keep theirs."""
    without = ["unshare", "--user", "--map-root-user", "sh", "-c", NO_INOTIFY, "sh"]
    if subprocess.run([*without, "true"], capture_output=True, check=False).returncode != 0:
        pytest.skip("needs unshare, and a system that lets its users make namespaces")
    server = start("--slots", "0", wrapper=without)
    job_id = server.start(model_name="toy")

    def listed() -> list[str]:
        return [job["status"] for job in server.get("/training/jobs").json()["jobs"]]

    (server.job_folder(job_id) / "status.json").write_text('{"status": "completed", "progress": 100.0}')

    wait_until(lambda: listed() == ["completed"], "the change is seen")
    wait_until(lambda: "File events are not to be had" in server.log.read_text(), "the log says so")
    assert server.log.read_text().count("File events are not to be had") == 1


def test_a_flood_of_events_costs_no_change(start: Callable[..., Server]) -> None:
    server = start("--slots", "0")
    job_ids = [server.start(model_name="toy") for _ in range(3)]
    flooded = server.job_folder(job_ids[0])
    for number in range(30_000):  # more than the kernel's queue holds
        (flooded / f"file-{number % 500}").touch()
    for job_id in job_ids:
        (server.job_folder(job_id) / "status.json").write_text('{"status": "completed", "progress": 100.0}')

    def are_seen() -> bool:
        return all(server.status(job_id)["status"] == "completed" for job_id in job_ids)

    wait_until(are_seen, "the changes are seen")


def test_data_folders_that_are_removed_under_a_server_are_made_again_and_a_body_is_cut_off_at_the_limit(
    start: Callable[..., Server],
) -> None:
    server = start("--slots", "0", "--max-body-mb", "1")
    for folder in ("training_jobs", "training_data", "adapters", "evaluations"):
        (server.root / folder).rmdir()

    lists = [server.get(path) for path in ("/training/jobs", "/training/data", "/adapters", "/evaluations")]
    made = [
        server.post("/training/start", {"model_name": "toy", "train_texts": ["a"]}),
        server.post("/training/data/upload", {"train_texts": ["a"]}),
        server.post(
            "/training/data/upload?dataset_name=sent",
            content=b'{"text": "a"}',
            headers={"Content-Type": "application/jsonl"},
        ),
    ]

    assert [reply.status_code for reply in [*lists, *made]] == [200] * 7
    wait_until(lambda: server.get("/training/jobs").json()["total"] == 1, "the job is listed")
    assert "Traceback" not in server.log.read_text()

    def chunks() -> Iterator[bytes]:
        """Without an announced length."""
        yield b'{"train_texts": ["'
        for _ in range(1000):
            yield b"x" * 65_536
        yield b'"]}'

    reply = server.http.post("/training/data/upload", content=chunks(), headers={"Content-Type": "application/json"})

    assert (reply.status_code, list(reply.json())) == (413, ["error"])
