"""`python -m benchmarks.folders`: what finished jobs cost a server, at 100, 10,000 and 100,000 of them.

Makes a data root with so many finished jobs and a tenth as many adapters, starts the server on it and measures from
outside: its start, reading, memory, watches, idle cost, requests, and how soon a change is seen. Requests of
`GET /api/training/status/<id>` take turns with those of a constant answer by the same framework
(`benchmarks/constant_server.py`). Linux only: memory and watches are read from /proc.
"""

import argparse
import json
import os
import socket
import statistics
import subprocess
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import timedelta
from http.client import HTTPConnection, RemoteDisconnected
from pathlib import Path
from typing import Any

from benchmarks.constant_server import BORN
from benchmarks.server import launch, reserved_port

CHECKOUT = Path(__file__).resolve().parent.parent
SIZES = [100, 10_000, 100_000]
CONNECTIONS = 8
REQUESTS = 4000
CHANGES = 20
BLOCKS = 5
JOB = {"version": 1, "model_name": "tiny-python", "lora_config": {"r": 4}, "training_config": {"max_steps": 3}}
STATUS = {
    "version": 1,
    "status": "completed",
    "progress": 100.0,
    "current_step": 3,
    "total_steps": 3,
    "current_loss": 1.25,
    "learning_rate": 0.0002,
    "metrics": {"train_loss": 1.25, "eval_loss": None},
    "started_at": BORN.isoformat(),
    "completed_at": BORN.isoformat(),
}

Figures = dict[str, float]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("sizes", nargs="*", type=int, default=SIZES, help="finished jobs (default: %(default)s)")
    parser.add_argument("--idle", type=float, default=30, help="seconds of idleness measured (default: %(default)s)")
    options = parser.parse_args()
    first: Figures = {}
    for size in options.sizes:
        with tempfile.TemporaryDirectory() as folder:
            root = Path(folder)
            populate(root, size)
            figures = measure(root, size, options.idle)
        first = first or figures
        print(f"\n{size:,} finished jobs, {size // 10:,} adapters")
        for name, figure in figures.items():
            ratio = f"  {figure / first[name]:8.2f} times that of {options.sizes[0]}" if first.get(name) else ""
            print(f"  {name:<62} {figure:10.3f}{ratio}", flush=True)


def populate(root: Path, size: int) -> None:
    for number in range(size):
        folder = root / "training_jobs" / f"job_{number:08}-0000-0000-0000-000000000000"
        folder.mkdir(parents=True)
        created_at = (BORN + timedelta(seconds=number)).isoformat()
        (folder / "job.json").write_text(json.dumps(JOB | {"created_at": created_at}, indent=2))
        (folder / "status.json").write_text(json.dumps(STATUS, indent=2))
    for number in range(size // 10):
        folder = root / "adapters" / f"adapter-{number}"
        folder.mkdir(parents=True)
        (folder / "adapter_config.json").write_text('{"peft_type": "LORA", "r": 4}')
        (folder / "adapter_model.safetensors").write_bytes(bytes(100))
        record = {"model_name": "tiny-python", "created_at": BORN.isoformat(), "training_config": {"r": 4}}
        (folder / "adapter.json").write_text(json.dumps(record))


def measure(root: Path, size: int, idle_s: float) -> Figures:
    began = time.monotonic()
    with server("main.py", "--root", str(root), "--slots", "0", "--no-spare-trainer", "--port") as (process, http):
        found = {"start to first answer (s)": time.monotonic() - began}
        latencies = []
        while not (http.get("/api/training/jobs?limit=1")["complete"] and http.get("/api/adapters")["complete"]):
            for number in range(50):
                asked = time.monotonic()
                http.get(f"/api/training/status/{number * (size // 50):08}-0000-0000-0000-000000000000")
                latencies.append(time.monotonic() - asked)
        found["start to everything read (s)"] = time.monotonic() - began
        if len(latencies) > 1:
            found["status while reading, 99th percentile (ms)"] = 1000 * statistics.quantiles(latencies, n=100)[98]
        found["idle (cores)"] = idle_cores(process.pid, idle_s)
        found["resident (MB)"] = resident_mb(process.pid)
        found["inotify watches"] = watches(process.pid)
        found |= requests(process.pid, http, size)
        found |= changes(root, http, size)
        found["resident at the end (MB)"] = resident_mb(process.pid)
        return found


class Client:
    """One kept connection."""

    def __init__(self, port: int) -> None:
        self.port = port
        self._connection = HTTPConnection("127.0.0.1", port, timeout=120)

    def close(self) -> None:
        """The next request opens another."""
        self._connection.close()

    def get(self, path: str) -> Any:  # noqa: ANN401  JSON
        return json.loads(self.raw(path))

    def raw(self, path: str) -> bytes:
        try:
            self._connection.request("GET", path)
            reply = self._connection.getresponse()
        except RemoteDisconnected:  # the server closes what was silent for 5 s
            self._connection.close()
            self._connection.request("GET", path)
            reply = self._connection.getresponse()
        body = reply.read()
        if reply.status != 200:
            raise OSError(body.decode())
        return body


@contextmanager
def server(*command: str) -> Iterator[tuple[subprocess.Popen[bytes], Client]]:
    """A server that answers, with its port as its command's last argument."""
    with reserved_port() as port:
        process = launch(port, *command, str(port))
    try:
        yield process, Client(port)
    finally:
        process.terminate()
        process.wait()


def idle_cores(pid: int, seconds: float) -> float:
    before = _cpu_s(pid)
    time.sleep(seconds)
    return (_cpu_s(pid) - before) / seconds


def _cpu_s(pid: int) -> float:
    fields = Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def resident_mb(pid: int) -> float:
    pages = int(Path(f"/proc/{pid}/statm").read_text().split()[1])
    return pages * os.sysconf("SC_PAGE_SIZE") / 1e6


def watches(pid: int) -> int:
    """inotify's, as the kernel lists them."""
    descriptors = Path(f"/proc/{pid}/fdinfo").iterdir()
    return sum(line.startswith("inotify wd:") for file in descriptors for line in file.read_text().splitlines())


def requests(pid: int, client: Client, size: int) -> Figures:
    middle = f"{size // 2:08}-0000-0000-0000-000000000000"
    pages = [
        _seconds(lambda: client.raw(f"/api/training/jobs?status=completed&limit=50&after={middle}")) for _ in range(50)
    ]
    wholes = [_seconds(lambda: client.raw("/api/training/jobs")) for _ in range(5)]
    found = {
        "a page of 50 jobs from the middle (ms)": 1000 * statistics.median(pages),
        "the whole list (ms)": 1000 * statistics.median(wholes),
        "the whole list (MB)": len(client.raw("/api/training/jobs")) / 1e6,
    }
    with tempfile.TemporaryDirectory() as empty, server("-m", "benchmarks.constant_server", empty) as (other, constant):
        asked = {"status": (pid, client, f"/api/training/status/{middle}")}
        asked["constant"] = (other.pid, constant, f"/api/constant/{middle}")
        rounds = [{name: block(*whom) for name, whom in asked.items()} for _ in range(BLOCKS)]
    medians = {name: [statistics.median(turn[name][part] for turn in rounds) for part in (0, 1)] for name in asked}
    for name, (rate, cost) in medians.items():
        found |= {f"{name} requests/s": rate, f"{name}, a request's time on a core (us)": 1e6 * cost}
    found["status requests/s over constant ones"] = medians["status"][0] / medians["constant"][0]
    found["the same by time on a core"] = medians["constant"][1] / medians["status"][1]
    return found


def _seconds(work: Callable[[], object]) -> float:
    began = time.monotonic()
    work()
    return time.monotonic() - began


def block(pid: int, client: Client, path: str) -> tuple[float, float]:
    """Ask over a few connections, each again once it has an answer: requests/s, and seconds on a core for each."""
    question = f"GET {path} HTTP/1.1\r\nHost: localhost:{client.port}\r\n\r\n".encode()
    connections = [socket.create_connection(("127.0.0.1", client.port)) for _ in range(CONNECTIONS)]
    began, cpu_s = time.monotonic(), _cpu_s(pid)
    for _ in range(REQUESTS // CONNECTIONS):
        for connection in connections:
            connection.sendall(question)
        for connection in connections:
            _read_reply(connection)
    took, cpu_s = time.monotonic() - began, _cpu_s(pid) - cpu_s
    for connection in connections:
        connection.close()
    return REQUESTS / took, cpu_s / REQUESTS


def _read_reply(connection: socket.socket) -> None:
    reply = connection.recv(65_536)
    while b"\r\n\r\n" not in reply:
        reply += connection.recv(65_536)
    head, _, body = reply.partition(b"\r\n\r\n")
    if not head.startswith(b"HTTP/1.1 200"):
        raise OSError(reply.decode())
    length = int(head.lower().partition(b"content-length:")[2].split()[0])
    while len(body) < length:
        body += connection.recv(65_536)


def changes(root: Path, client: Client, size: int) -> Figures:
    """How soon a list shows a job that is moved in, a change of it, and a hand edit of one that ended."""
    came, changed = [], []
    for number in range(CHANGES):
        folder = root / "training_jobs" / f"job_new-{number}"
        hidden = folder.with_name(f".{folder.name}.new")
        hidden.mkdir()
        created_at = (BORN + timedelta(days=1000 + number)).isoformat()
        (hidden / "job.json").write_text(json.dumps(JOB | {"created_at": created_at}))
        hidden.rename(folder)
        came.append(_seconds(lambda: _until_newest(client, f"new-{number}", "pending")))  # noqa: B023  called at once
        time.sleep(0.5)
        (folder / "status.json").write_text(json.dumps({"status": "failed"}))
        changed.append(_seconds(lambda: _until_newest(client, f"new-{number}", "failed")))  # noqa: B023
    found = {
        "a new job is listed after, median (ms)": 1000 * statistics.median(came),
        "a changed job is listed after, median (ms)": 1000 * statistics.median(changed),
    }
    ended = f"{size - 1:08}-0000-0000-0000-000000000000"
    file = root / "training_jobs" / f"job_{ended}" / "status.json"
    file.write_text(json.dumps(STATUS | {"current_step": 4, "progress": 50.0}))
    if client.get(f"/api/training/status/{ended}")["current_step"] != 4:
        raise AssertionError("a status is older than its file")
    file = file.parent.with_name(f"job_{size - 2:08}-0000-0000-0000-000000000000") / "status.json"
    file.write_text(json.dumps(STATUS | {"progress": 50.0}))
    found["a hand edit of an ended job is listed after (s)"] = _seconds(lambda: _until_edited(client, ended))
    return found


def _until_newest(client: Client, job_id: str, status: str) -> None:
    while [(job["job_id"], job["status"]) for job in client.get("/api/training/jobs?limit=1")["jobs"]] != [
        (job_id, status)
    ]:
        time.sleep(0.002)


def _until_edited(client: Client, after: str) -> None:
    while client.get(f"/api/training/jobs?limit=1&after={after}")["jobs"][0]["progress"] != 50.0:
        time.sleep(0.05)


if __name__ == "__main__":
    main()
