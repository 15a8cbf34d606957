"""A job that is watched, while its server and its watcher come and go."""

import json
from collections.abc import Callable
from pathlib import Path

from tests.cli.conftest import Lathe, interrupt, line_with
from tests.server import PATIENCE_S, Server


def test_ctrl_c_detaches_and_says_how_to_come_back(queueing: Server, lathe: Lathe) -> None:
    job_id = queueing.start()

    watch = lathe.begin("watch", job_id)
    assert watch.stdout is not None
    line_with("status=pending", watch.stdout)
    done = interrupt(watch)

    assert done.code == 0
    assert done.err.splitlines()[-1] == (
        f"Detached; the job goes on.   python -m cli watch {job_id[:8]}   again   "
        f"·   python -m cli stop {job_id[:8]}   to stop it"
    )
    assert queueing.status(job_id)["status"] == "pending"


def test_the_watch_goes_on_when_the_server_is_back(start_server: Callable[..., Server], tmp_path: Path) -> None:
    """It comes back on another port."""
    first = start_server("--slots", "0")
    job_id = first.start()
    watch = Lathe(tmp_path, LATHE_ROOT=str(first.root)).begin("watch", "@")
    assert watch.stdout is not None
    assert watch.stderr is not None
    line_with("status=pending", watch.stdout)

    first.kill()
    line_with("The server is gone; the trainer goes on. Waiting for the server ...", watch.stderr)
    second = start_server("--slots", "0", root=first.root)
    line_with("The server is back.", watch.stderr)
    second.post(f"/training/stop/{job_id}")
    out, err = watch.communicate(timeout=PATIENCE_S)

    assert (watch.returncode, out, err) == (6, "status=cancelled\n", "cancelled\n")


def test_a_log_is_followed_to_its_end_and_nothing_comes_twice(queueing: Server, lathe: Lathe) -> None:
    job_id = queueing.start()
    log = queueing.job_folder(job_id) / "train.log"
    log.write_text("one\ntwo\n")

    logs = lathe.begin("logs", job_id, "-f", "-n", "1")
    assert logs.stdout is not None
    line_with("two", logs.stdout)
    with log.open("a") as file:
        file.write("three\n")
    line_with("three", logs.stdout)
    queueing.post(f"/training/stop/{job_id}")
    out, err = logs.communicate(timeout=PATIENCE_S)

    assert (logs.returncode, out, err) == (0, "", "")


def test_each_event_is_a_line_of_json(queueing: Server, lathe: Lathe) -> None:
    job_id = queueing.start()

    watch = lathe.begin("watch", job_id, "--json")
    assert watch.stdout is not None
    hello = json.loads(line_with("hello", watch.stdout))
    queueing.post(f"/training/stop/{job_id}")
    out = watch.stdout.read()  # what the line before was read ahead with, too, which `communicate` would leave out
    watch.communicate(timeout=PATIENCE_S)

    assert (watch.returncode, hello["event"]) == (6, "hello")
    changed = [
        job for line in map(json.loads, out.splitlines()) if line["event"] == "jobs" for job in line["data"]["changed"]
    ]
    assert "cancelled" in {job["status"] for job in changed if job["job_id"] == job_id}
