"""`python -m benchmarks.torture`: kill trainers and servers at random moments, and see that nothing is lost.

A job is trained once without a disturbance. Then jobs with the same seed are trained while their trainers and the
server are killed by SIGKILL: while they start, between steps, in the middle of a checkpoint, in the middle of the
publication. Every job has to end `completed`, with the same logged losses and the same bytes of weights; all the while
a reader looks for torn files and for adapters listed twice or half. Ends with 1 when anything was found.

Three deaths without a new checkpoint between them end a job as failed, as they should; so a job that has had two is
left alone until its next checkpoint. Trainers that started cold and trainers that were the spare are killed alike, and
counted apart.
"""

import argparse
import json
import random
import shutil
import sys
import tempfile
import threading
import time
from collections import Counter
from contextlib import suppress
from pathlib import Path

import httpx
import psutil

from benchmarks.server import launch, reserved_port
from runtime.server.jobs.retries import MAX_ATTEMPTS
from runtime.server.jobs.trainers import pid_of_trainer
from state import adapter_places, adapters, jobs, metrics, safetensors
from state.errors import BrokenFile
from state.jobs import JobFolder
from state.root import DataRoot

JOB = {
    "model_name": "tiny-python",
    "train_texts": [f"### Instruction:\nName {n}\n\n### Response:\nthis is {n}" for n in range(16)],
    "lora_config": {"lora_dropout": 0.1},
    "training_config": {"max_steps": 60, "batch_size": 2, "logging_steps": 3, "save_steps": 6, "learning_rate": 1e-3},
}
SERVER_SHARE = 0.15  # of the kills
WHOLE_JOB_S = 9.0  # start, steps and publication together: kills fall anywhere in it
COLD, WAS_SPARE = "a trainer that started cold", "a trainer that was the spare"
SPARE = "runtime.trainer.spare"
PHASES = {"checkpoint": "checkpoints/.*.new", "publication": ".adapter.new"}


class Torture:
    def __init__(self, root: DataRoot, seed: int) -> None:
        self.root = root
        self.random = random.Random(seed)  # noqa: S311  moments, not secrets
        self.counts: Counter[str] = Counter()
        self.problems: list[str] = []
        self.server = Server(root)
        self._done = threading.Event()

    def run(self, kills: int, minutes: float) -> None:
        """Kill until there were `kills`, both kinds of trainers among them, or the time is over; then let jobs end."""
        self.reference = self._train_undisturbed()
        reader = threading.Thread(target=self._read_all_the_while)
        reader.start()
        end = time.monotonic() + 60 * minutes
        unfinished: list[str] = []
        try:
            while (self.kills < kills or not self._has_killed_both_kinds()) and time.monotonic() < end:
                unfinished = [job_id for job_id in unfinished if not self._is_over(job_id)]
                while len(unfinished) < 2:
                    unfinished.append(self.server.start())
                    self.counts["jobs"] += 1
                self._kill_somewhere(self.random.choice(unfinished))
            for job_id in unfinished:
                while not self._is_over(job_id):
                    time.sleep(0.05)
        finally:
            self._done.set()
            reader.join()
            self.server.kill()

    @property
    def kills(self) -> int:
        return sum(count for what, count in self.counts.items() if what.startswith("killed "))

    def _has_killed_both_kinds(self) -> bool:
        return self.counts[f"killed {COLD}"] > 0 and self.counts[f"killed {WAS_SPARE}"] > 0

    def _train_undisturbed(self) -> tuple[list[float | None], bytes]:
        job_id = self.server.start()
        while jobs.read_status(self._folder(job_id)).status != "completed":
            time.sleep(0.05)
        return self._result(job_id)

    def _kill_somewhere(self, job_id: str) -> None:
        if self.random.random() < SERVER_SHARE:
            time.sleep(self.random.uniform(0, 3))
            self.server.kill()
            self.counts["killed the server"] += 1
            time.sleep(self.random.uniform(0, 1))
            self.server = Server(self.root)
            return
        folder = self._folder(job_id)
        phase = self.random.choice(["any", "any", *PHASES])
        if phase == "any":
            time.sleep(self.random.uniform(0, WHOLE_JOB_S))
        elif not self._wait_for(folder, PHASES[phase]):
            return
        trainer = trainer_of(folder)
        status = jobs.read_status(folder)  # by now it counts the deaths of all trainers before this one
        if trainer is None or status.status in jobs.FINISHED or is_spared(folder, status):
            return
        with suppress(psutil.NoSuchProcess):
            kind = WAS_SPARE if SPARE in trainer.cmdline() else COLD
            trainer.kill()
            self.counts[f"killed {kind}"] += 1
            self.counts[f"of the trainers {self._moment(phase, status)}"] += 1

    def _wait_for(self, folder: JobFolder, pattern: str) -> bool:
        """Whether something of this name appeared in time."""
        end = time.monotonic() + WHOLE_JOB_S
        parent = (folder.path / pattern).parent
        name = pattern.rsplit("/", 1)[-1]
        while time.monotonic() < end:
            if any(parent.glob(name)):
                return True
            if jobs.read_status(folder).status in jobs.FINISHED:
                return False
            time.sleep(0.001)  # it is there for some milliseconds; without a pause, this takes a core from the trainers
        return False

    def _moment(self, phase: str, status: jobs.Status) -> str:
        if phase != "any":
            return f"in the middle of a {phase}"
        return "between steps" if status.status == "running" else "while it starts"

    def _is_over(self, job_id: str) -> bool:
        folder = self._folder(job_id)
        status = jobs.read_status(folder)
        if status.status not in jobs.FINISHED:
            return False
        self.counts[f"jobs {status.status}"] += 1
        if status.status != "completed":
            self.problems.append(f"job {job_id} {status.status}: {status.error_message}")
        elif self._result(job_id) != self.reference:
            self.problems.append(f"job {job_id} is not equal to the undisturbed one")
        else:
            self.counts["jobs equal to the undisturbed one"] += 1
        named = [path for path in adapters.all_folders(self.root) if adapter_places.belongs_to(path, job_id)]
        if len(named) != 1:
            self.problems.append(f"job {job_id} has {len(named)} adapters")
        hidden = [path.name for path in folder.path.rglob(".*")]
        if status.status == "completed" and hidden:
            self.problems.append(f"job {job_id} left {hidden}")
        return True

    def _result(self, job_id: str) -> tuple[list[float | None], bytes]:
        folder = self._folder(job_id)
        losses = [point.loss for point in metrics.read(folder.metrics_file)]
        return losses, (folder.adapter / adapters.WEIGHTS).read_bytes()

    def _folder(self, job_id: str) -> JobFolder:
        return JobFolder(self.root.training_jobs / f"job_{job_id}")

    def _read_all_the_while(self) -> None:
        while not self._done.wait(0.05):
            try:
                for folder in (jobs.find(self.root, job_id) for job_id in jobs.all_ids(self.root)):
                    jobs.read_job(folder)
                    jobs.read_status(folder)
                for path in adapters.all_folders(self.root):
                    found = adapters.read(self.root, path)
                    safetensors.read_header(path / adapters.WEIGHTS)
                    if found.problem is not None:
                        self.problems.append(f"adapter {found.name}: {found.problem}")
                self.counts["readings of all files"] += 1
            except BrokenFile as error:
                self.problems.append(f"torn: {error}")
            except FileNotFoundError:
                pass  # it went between the listing and the reading


class Server:
    """`python main.py` with two slots."""

    def __init__(self, root: DataRoot) -> None:
        with reserved_port() as port:
            command = ("main.py", "--root", str(root.path), "--port", str(port), "--slots", "2")
            self._process = launch(port, *command, log=root.path / "server.log")
        self._http = httpx.Client(base_url=f"http://127.0.0.1:{port}/api", timeout=60)

    def start(self) -> str:
        reply = self._http.post("/training/start", json=JOB)
        return str(reply.raise_for_status().json()["job_id"])

    def kill(self) -> None:
        self._http.close()
        self._process.kill()
        self._process.wait()


def is_spared(folder: JobFolder, status: jobs.Status) -> bool:
    """Whether one more death would be the third without progress."""
    deaths = status.attempt if status.status == "running" else status.attempt + 1
    return deaths >= MAX_ATTEMPTS and folder.newest_checkpoint() <= status.attempt_step


def trainer_of(folder: JobFolder) -> psutil.Process | None:
    """The process that trains in this folder.

    It is the one that status.json names and that holds the lock. While it starts, nothing names it yet but, where it
    starts cold, its own command.
    """
    with suppress(psutil.NoSuchProcess):
        pid = pid_of_trainer(folder)
        return psutil.Process(pid) if pid is not None else _starting(folder)
    return None


def _starting(folder: JobFolder) -> psutil.Process | None:
    for process in psutil.process_iter():
        with suppress(psutil.Error):
            if process.cmdline()[-2:] == ["runtime.trainer", str(folder.path)]:
                return process
    return None


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0] if __doc__ else None)
    parser.add_argument("--kills", type=int, default=200, help="how many processes to kill (default: %(default)s)")
    parser.add_argument("--minutes", type=float, default=60, help="stop killing after this time (default: %(default)s)")
    parser.add_argument("--seed", type=int, default=0, help="of the moments; scheduling adds its own chance")
    options = parser.parse_args()
    root = DataRoot.at(Path(tempfile.mkdtemp(prefix="lathe-torture-")))
    root.create()
    torture = Torture(root, options.seed)
    torture.run(options.kills, options.minutes)
    print(json.dumps({"kills": torture.kills, **dict(sorted(torture.counts.items()))}, indent=2))
    for problem in torture.problems:
        print(f"PROBLEM {problem}")
    if torture.problems:
        print(f"The data root is kept for a look: {root.path}")
        return 1
    shutil.rmtree(root.path)
    print("Nothing was lost, torn, or listed twice.")
    return 0


if __name__ == "__main__":
    sys.exit(main())
