"""Stand-ins for the processes that the server starts: they take no time, and write down what they were given.

They lie in a folder of their own, which takes the place of the checkout (`processes.CODE`), so that the real queue and
launcher start them as they start the real ones. What a trainer does is decided by files in its job's folder: `deaf`
lets it ignore whoever asks it to end, `slow` lets its last checkpoint take until there is a file `written`,
`publishing` the same of its adapter, and `finish`, with an exit code and a message, ends it.
"""

import asyncio
import json
import time
from collections.abc import Awaitable, Callable, Mapping
from contextlib import suppress
from pathlib import Path
from types import MappingProxyType
from typing import Any

import pytest

from runtime.process.machine import Machine
from runtime.server import processes
from runtime.server.answering.worker import Worker
from runtime.server.index import Index
from runtime.server.jobs.accelerators import Accelerators
from runtime.server.jobs.forecasting import Forecaster
from runtime.server.jobs.launch import Launcher
from runtime.server.jobs.queue import Queue
from runtime.server.jobs.room import Room
from runtime.server.jobs.trainers import Trainers
from state import jobs, new_jobs
from state.jobs import Job, JobFolder
from state.root import DataRoot
from state.row_source import RowSource
from tests.server import CHECKOUT, PATIENCE_S

GIVEN = "given.json"
_PREAMBLE = f"""
import json, os, signal, sys, time
from pathlib import Path
sys.path.append({str(CHECKOUT)!r})
PATIENCE_S = {PATIENCE_S}
GIVEN = {{"pid": os.getpid(), "spare": Path(sys.argv[0]).name == "spare.py"}}
GIVEN["accelerator"] = os.environ.get("CUDA_VISIBLE_DEVICES")
GIVEN["memory_mb"] = os.environ.get("LATHE_MEMORY_MB")
def tell(file):
    hidden = file.with_name("." + file.name)
    hidden.write_text(json.dumps(GIVEN))
    hidden.rename(file)
"""
TRAINER = (
    _PREAMBLE
    + """
from state import locks, store
from state.jobs import JobFolder, Status, read_status

def train(folder):
    is_deaf = (folder.path / "deaf").exists()
    if is_deaf:
        signal.signal(signal.SIGTERM, signal.SIG_IGN)
    with locks.hold(folder.trainer_lock, PATIENCE_S):  # who looks whether it is held may be stopped just then
        status = {"pid": os.getpid(), "accelerator": GIVEN["accelerator"]}
        status["attempt"] = read_status(folder).attempt + 1
        GIVEN["alive"] = [pid for pid in json.loads(os.environ.get("LOOK_AT", "[]")) if Path(f"/proc/{pid}").exists()]
        tell(folder.path / "given.json")
        store.write(folder.status_file, Status(status="running", **status))
        asks = folder.path / "finish", folder.stop_file, folder.pause_file
        while is_deaf or not any(file.exists() for file in asks):
            time.sleep(0.01)
            if not folder.path.exists():
                return
        if (folder.path / "slow").exists():
            save_slowly(folder)
        publishes = (folder.path / "publishing").exists()
        if publishes:
            publish_slowly(folder)
        asked = {"cancelled": folder.stop_file, "paused": folder.pause_file}
        end = next((end for end, file in asked.items() if file.exists() and not publishes), "completed")
        finish = folder.path / "finish"
        exit_code, message = json.loads(finish.read_text()) if finish.exists() else (0, None)
        finish.unlink(missing_ok=True)
        store.write(folder.status_file, Status(status="failed" if message else end, error_message=message))
        sys.exit(exit_code)

def save_slowly(folder):
    hidden = folder.checkpoints / ".step-1.new"
    hidden.mkdir(parents=True)
    wait_until_written(folder)
    hidden.rename(folder.checkpoint(1))

def publish_slowly(folder):
    folder.publishing.touch()
    wait_until_written(folder)
    folder.publishing.unlink()

def wait_until_written(folder):
    while folder.path.exists() and not (folder.path / "written").exists():
        time.sleep(0.01)
"""
)
FILES = {
    "runtime/__init__.py": "",
    "runtime/trainer/__init__.py": "",
    "runtime/trainer/training.py": TRAINER,
    "runtime/trainer/__main__.py": """
import sys
from pathlib import Path
from runtime.trainer.training import JobFolder, train
train(JobFolder(Path(sys.argv[1])))
""",
    "runtime/trainer/spare.py": """
import json, sys
from pathlib import Path
from runtime.trainer.training import JobFolder, train
line = sys.stdin.readline()
if line:
    train(JobFolder(Path(json.loads(line)["job_dir"])))
""",
    "runtime/trainer/forecast.py": _PREAMBLE
    + """
root = Path(json.loads(sys.stdin.readline())["root"])
tell(root / "plan.json")
while root.exists() and not (root / "plan may end").exists():
    time.sleep(0.01)
print(json.dumps({"error": "planned"}))
""",
    "runtime/inference/__init__.py": "",
    "runtime/inference/__main__.py": _PREAMBLE
    + """
import socket
tell(Path(sys.argv[2]).parent / "inference.json")
server = socket.socket(fileno=int(sys.argv[1]))
while server.recv(1 << 20):
    pass
""",
}


def stand_in(code: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Have the server start stand-ins from now on."""
    for name, text in FILES.items():
        file = code / name
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(text)
    monkeypatch.setattr(processes, "CODE", code)


class _Queue(Queue):
    """A round that a test asks for comes between two of the queue's own: side by side they would take the same jobs."""

    def __init__(self, *parts: Any) -> None:
        super().__init__(*parts)
        self._one_at_a_time = asyncio.Lock()

    async def _round(self) -> None:
        async with self._one_at_a_time:
            await super()._round()


class Rig:
    """The server's parts that run jobs, without HTTP and file events. `stop` ends every process."""

    def __init__(
        self,
        root: Path,
        machine: Machine,
        slots: int | None = None,
        *,
        spare: bool = False,
        worker: Worker | None = None,
        limits: Mapping[str, str] = MappingProxyType({}),
    ) -> None:
        self.root = DataRoot.at(root)
        self.root.create()
        self.index = Index(self.root)
        self.accelerators = Accelerators(machine)
        self.worker = worker or Worker(root / "bases", place=self.accelerators.inferring)
        self.room = Room(self.root, machine, self.accelerators, lambda: self.worker.rest(0))
        self.launcher = Launcher(self.accelerators, limits, may_have_spare=spare)
        self.trainers = Trainers(self.launcher, self.accelerators)
        self.queue = _Queue(
            self.root, self.index, self.trainers, self.launcher, self.accelerators, self.room, slots or machine.slots
        )
        self.forecaster = Forecaster(self.root, self.accelerators, limits, self.room, asyncio.Event())

    def run(self, scenario: Callable[[], Awaitable[None]]) -> None:
        """Play a scenario while the queue works."""

        async def play() -> None:
            await self.queue._round()  # until the first look, plans are refused
            working = asyncio.create_task(self.queue.run())
            try:
                await scenario()
            finally:
                working.cancel()
                with suppress(asyncio.CancelledError):
                    await working
                self.queue.close()
                await self.worker.close()

        for job_id in jobs.all_ids(self.root):
            self.index.refresh_job(job_id)
        asyncio.run(play())

    def add(self, *markers: str) -> JobFolder:
        """A waiting job, with these files in its folder."""
        folder = new_jobs.create(self.root, Job(model_name="toy"), RowSource("train_texts", texts=["some text"]), None)
        for marker in markers:
            (folder.path / marker).touch()
        self.index.refresh_job(folder.job_id)
        return folder

    async def given(self, folder: JobFolder) -> dict[str, Any]:
        """What a job's trainer was given, once it runs and the queue, which has launched it, counts it."""

        def runs() -> bool:
            return jobs.read_status(folder).status == "running" and folder.job_id in self.trainers.living

        await self.until(runs, "the trainer runs")
        return dict(json.loads((folder.path / GIVEN).read_text()))

    async def finish(self, folder: JobFolder, exit_code: int = 0, failure: str | None = None) -> None:
        """Let a job's trainer end, failed with these words if there are any, and the queue see it."""
        trainer = jobs.read_status(folder).pid
        hidden = folder.path / ".finish"
        hidden.write_text(json.dumps([exit_code, failure]))
        hidden.rename(folder.path / "finish")
        await self.until(lambda: trainer not in self.pids(), "the trainer has ended")

    def pids(self) -> list[int]:
        """The trainers that the queue has launched and not collected yet."""
        return [child.process.pid for child in list(self.trainers._children.values())]

    async def until(self, condition: Callable[[], object], what: str) -> None:
        """Wait for a condition, while the index is kept up to date as file events would."""
        deadline = time.monotonic() + PATIENCE_S
        while not condition():
            assert time.monotonic() < deadline, f"waited {PATIENCE_S} s in vain until {what}"
            await asyncio.to_thread(self._refresh)
            await asyncio.sleep(0.02)

    def end_trainers(self) -> None:
        """Trainers outlive their server; these are not to outlive their test."""
        for child in self.trainers._children.values():
            child.process.kill()
            child.process.wait()

    def _refresh(self) -> None:
        for job_id in jobs.all_ids(self.root):
            self.index.refresh_job(job_id)
