"""Doing something to a data root, and dying by SIGKILL at the Nth file operation.

Python's audit events are raised before an operation is done, so a death falls between any two of them. `python -m
tests.crash` is the process that does it: it forks for each death, and has its imports once.
"""

import os
import signal
import subprocess
import sys
import traceback
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from msgspec import structs

from state import adapter_places, adapter_records, adapters, clock, exchange, jobs, metrics, new_jobs, store, uploads
from state.jobs import Job, JobFolder, Status
from state.root import DataRoot
from state.row_source import RowSource
from tests.server import CHECKOUT

OPERATIONS = {"open", "os.mkdir", "os.rename", "os.remove", "os.rmdir", "os.link", "os.truncate", "shutil.rmtree"}


def create_job(root: DataRoot) -> None:
    new_jobs.create(
        root,
        Job(model_name="toy"),
        RowSource("train_texts", texts=["one", "two"]),
        RowSource("eval_texts", texts=["three"]),
    )


def remove_job(root: DataRoot) -> None:
    jobs.remove(JobFolder(root.training_jobs / "job_ended"))


def write_status(root: DataRoot) -> None:
    folder = JobFolder(root.training_jobs / "job_ended")
    jobs.write_status(folder, structs.replace(jobs.read_status(folder), current_step=2))


def rewind_metrics(root: DataRoot) -> None:
    metrics.rewind(JobFolder(root.training_jobs / "job_ended").metrics_file, 1)


def place_adapter(root: DataRoot) -> None:
    adapter_places.link_into(root.training_jobs / "job_ended" / "adapter", root.adapters / "placed", "ended")


def remove_adapter(root: DataRoot) -> None:
    adapter_places.remove(root, "published")


def rename_adapter(root: DataRoot) -> None:
    adapter_places.rename(root, "published", "renamed")


def describe_adapter(root: DataRoot) -> None:
    adapter_records.describe(root, "published", "New words", ["new"])


def upload(root: DataRoot) -> None:
    uploads.save(root, "new", ["one", "two"])


def upload_again(root: DataRoot) -> None:
    uploads.save(root, "old", ["new one", "new two"])


def upload_again_without_exchange(root: DataRoot) -> None:
    """As on a file system that cannot exchange two names."""
    exchange.names = lambda *_: False
    upload_again(root)


SCENARIOS: dict[str, Callable[[DataRoot], None]] = {
    scenario.__name__: scenario
    for scenario in (
        create_job,
        remove_job,
        write_status,
        rewind_metrics,
        place_adapter,
        remove_adapter,
        rename_adapter,
        describe_adapter,
        upload,
        upload_again,
        upload_again_without_exchange,
    )
}


def prepare(root: DataRoot) -> None:
    """An ended job with its adapter, which is published, and a data set."""
    root.create()
    folder = JobFolder(root.training_jobs / "job_ended")
    folder.adapter.mkdir(parents=True)
    store.write(folder.job_file, Job(model_name="toy"))
    store.write(folder.status_file, Status(status="completed", current_step=1))
    for step in (1, 2):
        metrics.append(folder.metrics_file, metrics.Point(step=step, epoch=1.0, loss=1.0))
    (folder.adapter / adapters.CONFIG).write_text('{"peft_type": "LORA"}')
    (folder.adapter / adapters.WEIGHTS).write_bytes(b"weights")
    (folder.adapter / adapters.RECORD).write_bytes(
        store.pretty(adapters.AdapterRecord(model_name="toy", created_at=clock.now(), job_id="ended", output_dir="out"))
    )
    adapter_places.link_into(folder.adapter, root.adapters / "published", "ended")
    adapter_places.link_into(folder.adapter, root.path / "out" / "published", "ended")
    uploads.save(root, "old", ["old one"])


class Dying:
    """Runs scenarios in processes that die."""

    def __init__(self, process: subprocess.Popen[str]) -> None:
        self._process = process

    def run(self, scenario: str, root: DataRoot, fatal: int) -> tuple[int, int]:
        """Exit code, and how many operations there were; a `fatal` of 0 kills nobody."""
        stdin, stdout = self._process.stdin, self._process.stdout
        assert stdin is not None
        assert stdout is not None
        stdin.write(f"{scenario}\t{fatal}\t{root.path}\n")
        stdin.flush()
        exit_code, operations = stdout.readline().split()
        return int(exit_code), int(operations)


@contextmanager
def dying() -> Iterator[Dying]:
    command = [sys.executable, "-m", "tests.crash"]
    with subprocess.Popen(command, cwd=CHECKOUT, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        yield Dying(process)


def _serve() -> None:
    for line in sys.stdin:
        scenario, fatal, root = line.rstrip("\n").split("\t")
        reading, writing = os.pipe()
        child = os.fork()
        if child == 0:
            _die(SCENARIOS[scenario], DataRoot.at(Path(root)), int(fatal), writing)
        os.close(writing)
        with open(reading, "rb") as counted:  # noqa: PTH123  a descriptor
            operations = int(counted.read() or 0)
        _, status = os.waitpid(child, 0)
        sys.stdout.write(f"{os.waitstatus_to_exitcode(status)} {operations}\n")
        sys.stdout.flush()


def _die(scenario: Callable[[DataRoot], None], root: DataRoot, fatal: int, writing: int) -> None:
    """Do it, write how many operations there were, and end the process; at the operation `fatal` at the latest."""
    seen = 0

    def count(event: str, _: object) -> None:
        nonlocal seen
        if event in OPERATIONS:
            seen += 1
            if seen == fatal:
                os.kill(os.getpid(), signal.SIGKILL)

    exit_code = 1
    try:
        sys.addaudithook(count)
        scenario(root)
        os.write(writing, str(seen).encode())
        exit_code = 0
    except Exception:  # noqa: BLE001  a scenario that was done already
        traceback.print_exc()
    finally:
        os._exit(exit_code)


if __name__ == "__main__":
    _serve()
