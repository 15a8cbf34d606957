"""A real server for the tests: `python main.py` on a free port and a data root of its own."""

import http.client
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from contextlib import closing, suppress
from pathlib import Path
from typing import Any

import httpx

from benchmarks.server import reserved_port
from runtime.server.jobs.trainers import pid_of_trainer
from state import jobs
from state.jobs import JobFolder

CHECKOUT = Path(__file__).resolve().parent.parent
MODEL = "tiny-python"
COLD = ["--no-spare-trainer"]  # its imports take 2 s of CPU time: only tests that use it have one
PATIENCE_S = 600.0
"""No promise: what comes that late does not come. Below pytest's own limit, so that a test says what it waited for."""
OFFLINE = {"HF_HUB_OFFLINE": "1", "LATHE_API_KEY": ""}  # whatever the shell has that runs the tests
PATIENT = {"HF_HUB_ETAG_TIMEOUT": "600", "HF_HUB_DOWNLOAD_TIMEOUT": "600"}  # with tests/hub.py, on busy cores


class Server:
    """Starts on construction; `close` ends it as Ctrl-C does, `kill` as nothing should."""

    def __init__(
        self,
        root: Path,
        *options: str,
        environment: dict[str, str] | None = None,
        wrapper: Sequence[str] = (),
        port: int = 0,
    ) -> None:
        """`wrapper` is a command that starts the one behind it; `port` is one where a server has just been killed."""
        self.root = root
        self.log = root / "server.log"
        with reserved_port(port) as self.port, self.log.open("ab") as log:
            self.process = subprocess.Popen(
                [*wrapper, sys.executable, "main.py", "--root", str(root), "--port", str(self.port), *COLD, *options],
                cwd=CHECKOUT,
                stdout=log,
                stderr=log,
                start_new_session=True,
                env=os.environ | OFFLINE | PATIENT | {"HF_HOME": str(root / "hf-home")} | (environment or {}),
            )
            key = (environment or OFFLINE).get("LATHE_API_KEY")
            headers = {"Authorization": f"Bearer {key}"} if key else {}
            self.http = httpx.Client(base_url=f"http://localhost:{self.port}/api", timeout=PATIENCE_S, headers=headers)
            wait_until(self._answers, "the server answers, and has read its folders")

    def get(self, path: str, **options: Any) -> httpx.Response:
        return self.http.get(path, **options)

    def post(self, path: str, body: object = None, **options: Any) -> httpx.Response:
        return self.http.post(path, **options) if body is None else self.http.post(path, json=body, **options)

    def patch(self, path: str, **changes: object) -> httpx.Response:
        return self.http.patch(path, json=changes)

    def delete(self, path: str) -> httpx.Response:
        return self.http.delete(path)

    def start(self, **fields: object) -> str:
        """Start a job and return its id."""
        body = {"model_name": MODEL, "train_texts": ["### Instruction:\nSay hi\n\n### Response:\nhi"]} | fields
        reply = self.post("/training/start", body)
        assert reply.status_code == 200, reply.text
        return str(reply.json()["job_id"])

    def status(self, job_id: str) -> dict[str, Any]:
        return dict(self.get(f"/training/status/{job_id}").json())

    def wait_for(self, job_id: str, *states: str, timeout_s: float = PATIENCE_S) -> dict[str, Any]:
        """The job's status once it is one of `states`; fails at once when it ended otherwise."""

        def arrived() -> bool:
            now = self.status(job_id)
            assert now["status"] in {*states, "pending", "running"}, now["error_message"]
            return now["status"] in states

        wait_until(arrived, f"job {job_id} is {' or '.join(states)}", timeout_s)
        return self.status(job_id)

    def job_folder(self, job_id: str) -> Path:
        return self.root / "training_jobs" / f"job_{job_id}"

    def wait_for_step(self, job_id: str, step: int) -> None:
        """Wait until a checkpoint of this step, or of a later one, is saved."""
        folder = JobFolder(self.job_folder(job_id))
        wait_until(lambda: folder.newest_checkpoint() >= step, f"step {step} is saved")

    def wait_for_going_on(self, job_id: str) -> int:
        """Wait until a trainer goes on from a checkpoint of the job; its pid."""
        folder = JobFolder(self.job_folder(job_id))

        def goes_on() -> bool:
            log = folder.log_file.read_text() if folder.log_file.exists() else ""
            return "Going on from step-" in log and folder.is_training()

        wait_until(goes_on, f"job {job_id} goes on")
        return self.trainer(job_id)

    def trainer(self, job_id: str) -> int:
        """The pid of the job's trainer, which lives."""
        folder = JobFolder(self.job_folder(job_id))
        pid = pid_of_trainer(folder)
        assert pid, f"job {job_id} has no trainer: {jobs.read_status(folder)}"
        return pid

    def kill_trainer(self, job_id: str) -> int:
        """Its pid, which nobody may have any more."""
        pid = self.trainer(job_id)
        os.kill(pid, signal.SIGKILL)
        return pid

    def children(self) -> list[int]:
        """The processes that it started and that end with it: the inference worker."""
        lists = Path(f"/proc/{self.process.pid}/task").glob("*/children")
        return [int(child) for children in lists for child in _read(children).split()]

    def asked(self, module: str) -> list[int]:
        """The processes that it asks something, of one module."""
        commands = {child: Path(f"/proc/{child}/cmdline") for child in self.children()}
        return [child for child, file in commands.items() if module in _read(file)]

    def kill(self) -> None:
        self.process.kill()
        self.process.wait()
        self.http.close()

    def close(self) -> None:
        self.http.close()
        if self.process.poll() is None:
            self.process.send_signal(signal.SIGINT)
            self.process.wait(timeout=PATIENCE_S)
        self._end_trainers()

    def _end_trainers(self) -> None:
        """Trainers outlive their server; one that a failed test left must not slow the tests after it."""
        for folder in map(JobFolder, (self.root / "training_jobs").glob("*/")):
            if pid := pid_of_trainer(folder):
                with suppress(ProcessLookupError):
                    os.kill(pid, signal.SIGKILL)

    def _answers(self) -> bool:
        """And has read its folders, evaluations last: on a busy machine it answers before, and lists lack things."""
        assert self.process.poll() is None, self.log.read_text()
        try:
            return bool(self.get("/evaluations").json()["complete"])
        except httpx.TransportError:
            return False


class Client:
    """A client that has asked for something that takes long, and does not wait for it yet."""

    def __init__(self, server: Server, path: str, body: object = None, *, base: str = "/api") -> None:
        """Without a body it gets, with one it posts."""
        self._connection = http.client.HTTPConnection("localhost", server.port, timeout=PATIENCE_S)
        if body is None:
            self._connection.request("GET", f"{base}{path}")
        else:
            self._connection.request("POST", f"{base}{path}", json.dumps(body), {"Content-Type": "application/json"})

    def go_away(self) -> None:
        self._connection.close()

    def answer(self) -> tuple[int, str]:
        """The refusal's status and sentence."""
        with closing(self._connection), self._connection.getresponse() as reply:
            return reply.status, str(json.loads(reply.read())["error"])


def wait_until(condition: Callable[[], bool], what: str, timeout_s: float = PATIENCE_S) -> None:
    """Wait for a condition with a deadline. It is asked for less and less often: asking takes CPU time, too."""
    began = time.monotonic()
    while not condition():
        waited = time.monotonic() - began
        assert waited < timeout_s, f"waited {timeout_s} s in vain until {what}"
        time.sleep(min(0.02 + waited / 50, 0.1))


def _read(file: Path) -> str:
    """A file of /proc; empty when its process or thread has just ended."""
    try:
        return file.read_text()
    except (FileNotFoundError, ProcessLookupError):
        return ""
