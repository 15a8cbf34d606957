"""Checks in processes of their own, one after another: what one of them does, or hangs in, leaves the others alone.

While one runs the next already does its imports, some ten seconds of them, and then waits. Standard library only.
"""

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import asdict, dataclass
from pathlib import Path
from shutil import which

from benchmarks.gpu.checks import Check

CHECKOUT = Path(__file__).resolve().parent.parent.parent
PATIENCE = 1.0 if which("nvidia-smi") else 5.0  # limits are for a machine with a GPU; a CPU takes longer
END_S = 10.0  # for a check that is over its limit: to end the servers and trainers that it started
TOO_LITTLE_S = 5.0


@dataclass(frozen=True)
class Outcome:
    """`figure` is what was found, or why not."""

    name: str
    status: str
    """ok, FAILED or skipped."""
    figure: str
    seconds: float


class Run:
    """The checks of one run: logs and results in one folder, models and jobs in another."""

    def __init__(self, results: Path, scratch: Path, environment: dict[str, str]) -> None:
        self._results = results
        self._scratch = scratch
        self._environment = environment

    def all(self, checks: Sequence[Check], total_s: float) -> list[Outcome]:
        """Run them within `total_s`; each outcome is printed, and on disk, when it is there."""
        deadline = time.monotonic() + total_s
        outcomes = []
        process: subprocess.Popen[bytes] | None = self._start(checks[0]) if checks else None
        for number, check in enumerate(checks):
            left = deadline - time.monotonic()
            if process is None or left < TOO_LITTLE_S:
                outcome = Outcome(check.name, "skipped", f"the run's {total_s / 60:.1f} minutes are over", 0.0)
            else:
                following = self._start(checks[number + 1]) if number + 1 < len(checks) else None
                outcome = self._finish(process, check, left)
                process = following
            outcomes.append(outcome)
            self._tell(outcome)
        if process is not None:
            _end(process)
        return outcomes

    def _start(self, check: Check) -> subprocess.Popen[bytes]:
        folder = self._scratch / check.name
        folder.mkdir(parents=True)
        with self._log(check.name).open("wb") as log:
            return subprocess.Popen(
                [sys.executable, "-m", "benchmarks.gpu.one", check.name, str(folder)],
                cwd=CHECKOUT,
                env=os.environ | self._environment,
                stdin=subprocess.PIPE,
                stdout=log,
                stderr=log,
                start_new_session=True,
            )

    def _finish(self, process: subprocess.Popen[bytes], check: Check, left: float) -> Outcome:
        began = time.monotonic()
        limit_s = min(PATIENCE * check.limit_s, left)
        figure = f"took longer than the {limit_s:.0f} s that it may"
        try:
            process.communicate(f"{left}\n".encode(), timeout=limit_s)
            figure = f"ended with {process.returncode}, without an answer"
        except subprocess.TimeoutExpired:
            _end(process)
        answer = self._scratch / check.name / "outcome.json"
        found = json.loads(answer.read_text()) if answer.exists() else {"status": "FAILED", "figure": figure}
        return Outcome(check.name, found["status"], found["figure"], round(time.monotonic() - began, 1))

    def _tell(self, outcome: Outcome) -> None:
        with (self._results / "results.jsonl").open("a") as file:
            file.write(json.dumps(asdict(outcome)) + "\n")
        where = f" ({self._log(outcome.name)})" if outcome.status == "FAILED" else ""
        print(f"{outcome.status:7} {outcome.name}: {outcome.figure}, {outcome.seconds:.0f} s{where}", flush=True)

    def _log(self, name: str) -> Path:
        return self._results / f"{name}.log"


def _end(process: subprocess.Popen[bytes]) -> None:
    """Ask it to end, and then end it with all that it started in its own session."""
    if process.stdin is not None:
        process.stdin.close()
    for number, wait_s in ((signal.SIGTERM, END_S), (signal.SIGKILL, None)):
        with suppress(ProcessLookupError):
            os.killpg(process.pid, number)
        with suppress(subprocess.TimeoutExpired):
            process.wait(wait_s)
            return
