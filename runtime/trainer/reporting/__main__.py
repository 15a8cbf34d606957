"""`python -m runtime.trainer.reporting JOB_DIR TOOL`: tell one tool what metrics.jsonl says, for as long as it grows.

Started by runtime/trainer/reports.py. Its standard input is open for as long as the trainer lives; the trainer says
"completed" there before it ends so. What fails is tried again after AGAIN_S, and once more when the trainer has ended.
"""

import argparse
import os
import sys
import threading
import time
import traceback
from pathlib import Path
from typing import get_args

from msgspec import structs

from runtime.process.exit import leave
from runtime.trainer.reporting.following import follow
from runtime.trainer.reporting.run import Outcome
from state import jobs, locks, report_to, store
from state.errors import BrokenFile, first_line
from state.jobs import JobFolder, JobState
from state.report_to import Report, Tool
from state.root import DataRoot

AGAIN_S = 30.0
LAST_S = 60.0
"""So long after the trainer it may live: uploads take a while, and an unreachable host for ever."""
MOST_LETTERS = 300  # of what a library says; the rest is in reports/<tool>.log
NICENESS = 10  # the training comes first

OUTCOMES: dict[JobState, Outcome] = {"completed": "completed", "failed": "failed", "cancelled": "cancelled"}


class TrainersEnd(threading.Event):
    """Set when the trainer has ended."""

    def __init__(self, folder: JobFolder) -> None:
        super().__init__()
        self._folder = folder
        self._said = b""

    def watch(self) -> None:
        """Wait for it; LAST_S later, end this process, whatever it is at."""
        self._said = sys.stdin.buffer.read()
        self.set()
        time.sleep(LAST_S)
        print("Gave up: the trainer has long ended", flush=True)  # noqa: T201  into reports/<tool>.log
        leave(1)

    def outcome(self) -> Outcome:
        """How the job ended, for this time."""
        if self._said:
            return "completed"
        try:
            return OUTCOMES.get(jobs.read_status(self._folder).status, "goes on")
        except BrokenFile:
            return "goes on"


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m runtime.trainer.reporting")
    parser.add_argument("job_dir", type=Path)
    parser.add_argument("tool", choices=get_args(Tool))
    options = parser.parse_args()
    os.nice(NICENESS)
    folder = JobFolder(options.job_dir)
    end = TrainersEnd(folder)
    threading.Thread(target=end.watch, daemon=True).start()
    try:
        with locks.hold(folder.reports / f"{options.tool}.lock", LAST_S):  # an earlier trainer's may be at its end
            return _report(folder, options.tool, end)
    except Exception:  # noqa: BLE001  the interpreter's own end would abort: the thread still reads standard input
        traceback.print_exc()
        return 1


def _report(folder: JobFolder, tool: Tool, end: TrainersEnd) -> int:
    while True:
        is_last = end.is_set()
        try:
            job = jobs.read_job(folder)
            report = next((one for one in report_to.each(job.report_to) if one.type == tool), Report(type=tool))
            follow(DataRoot.at(folder.path.parent.parent), folder, job, report, end, end.outcome)
        except Exception as error:  # noqa: BLE001  whatever a tool's library raises, the job's user reads
            traceback.print_exc()
            _tell_problem(folder, tool, error)
        else:
            return 0
        if is_last or not folder.job_file.exists():
            return 1
        end.wait(AGAIN_S)


def _tell_problem(folder: JobFolder, tool: Tool, error: Exception) -> None:
    said = f"{tool}: {first_line(error)[:MOST_LETTERS]}"
    sentence = said if report_to.is_installed(tool) else report_to.missing(tool)
    if folder.job_file.exists():
        told = report_to.told(folder.reports, tool)
        store.write(report_to.record_of(folder.reports, tool), structs.replace(told, problem=sentence))


if __name__ == "__main__":
    leave(main())
