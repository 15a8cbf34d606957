"""`python -m tests.crash SCENARIO ROOT N`: do something to a data root, and die by SIGKILL at the Nth file operation.

Without dying it prints how many operations there were. Python's audit events are raised before an operation is done,
so a death falls between any two of them.
"""

import os
import signal
import sys
from collections.abc import Callable
from pathlib import Path

from msgspec import structs

from state import adapter_places, adapter_records, adapters, clock, exchange, jobs, metrics, store, uploads
from state.jobs import Job, JobFolder, Status
from state.root import DataRoot
from state.row_source import RowSource

OPERATIONS = {"open", "os.mkdir", "os.rename", "os.remove", "os.rmdir", "os.link", "os.truncate", "shutil.rmtree"}


def create_job(root: DataRoot) -> None:
    jobs.create(
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


def main() -> None:
    scenario, root, fatal = SCENARIOS[sys.argv[1]], DataRoot.at(Path(sys.argv[2])), int(sys.argv[3])
    seen = 0

    def count(event: str, _: object) -> None:
        nonlocal seen
        if event in OPERATIONS:
            seen += 1
            if seen == fatal:
                os.kill(os.getpid(), signal.SIGKILL)

    sys.addaudithook(count)
    scenario(root)
    operations = seen
    sys.stdout.write(f"{operations}\n")


if __name__ == "__main__":
    main()
