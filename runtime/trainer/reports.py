"""The processes that show a job's figures elsewhere (`report_to`), as the trainer sees them: it waits for none of them.

They end by themselves when their standard input does, whatever became of the trainer.
"""

import logging
import subprocess
import sys
import time
from contextlib import suppress
from pathlib import Path

from msgspec import Struct

from runtime.trainer.attempt import Attempt
from state import report_to
from state.jobs import Job
from state.report_to import Tool

CODE = Path(__file__).resolve().parent.parent.parent
LAST_S = 20.0
"""So long a completed job waits for its last figures to be told; then they are told without it."""
POLL_S = 0.05
AGAIN_S = (1.0, 10.0, 100.0)
"""After each of its first deaths a process is started again, so long later; the next death is the last."""

log = logging.getLogger("trainer")


class _Telling(Struct):
    tool: Tool
    process: subprocess.Popen[bytes]
    read_at_ns: int
    """The time of its record that was read last."""
    problem: str | None = None
    deaths: int = 0
    again_at_s: float | None = None
    """When the process that has died is started again, by the monotonic clock."""


class Reports:
    """Says in the log and in the status what stands in a tool's way."""

    def __init__(self, attempt: Attempt, job: Job) -> None:
        """Nothing is started yet."""
        self._attempt = attempt
        self._folder = attempt.folder.reports
        self._tools = [report.type for report in report_to.each(job.report_to)]
        self._telling: list[_Telling] = []

    def start(self) -> None:
        """From metrics.jsonl as it is now."""
        for tool in self._tools:
            before_ns = self._changed_at(tool)  # what the process says is news, however soon it does
            try:
                self._telling.append(_Telling(tool, self._started(tool), before_ns))
            except OSError as error:
                log.warning("Not reported: %s: %s", tool, error)
                self._attempt.note = f"Not reported: {tool}: {error}"

    def look(self) -> None:
        """See what each says stands in its way, and start anew who has died. It costs microseconds."""
        before = [telling.problem for telling in self._telling]
        for telling in self._telling:
            if telling.again_at_s is not None and time.monotonic() >= telling.again_at_s:
                self._start_again(telling)
            telling.problem = self._problem(telling)
            if telling.problem is not None and telling.problem not in before:
                log.warning("Not reported: %s (reports/%s.log)", telling.problem, telling.tool)
        now = [telling.problem for telling in self._telling]
        if now != before:
            self._attempt.note = next((f"Not reported: {problem}" for problem in now if problem), None)

    def finish(self) -> None:
        """Have the rest told of a job that is complete, and wait for that as long as it may take."""
        for telling in self._telling:
            if telling.again_at_s is not None:
                self._start_again(telling)
            _close_input(telling.process, b"completed")
        until = time.monotonic() + LAST_S
        for telling in self._telling:
            while telling.process.poll() is None and time.monotonic() < until:
                time.sleep(POLL_S)
            if telling.process.poll() is None:
                log.warning("%s: the last figures are still being told", telling.tool)
        self.look()

    def _problem(self, telling: _Telling) -> str | None:
        changed_at = self._changed_at(telling.tool)
        if changed_at != telling.read_at_ns:
            telling.read_at_ns = changed_at
            telling.problem = report_to.told(self._folder, telling.tool).problem
        if telling.again_at_s is None and telling.process.poll():
            return self._died(telling)
        return telling.problem

    def _died(self, telling: _Telling) -> str:
        """Have it started again: its record says how far it came. What stood in its way before is the better reason."""
        said = f"{telling.tool}: its process ended with code {telling.process.returncode}"
        if telling.deaths == len(AGAIN_S):
            return telling.problem or f"{said}, and is not started again"
        telling.again_at_s = time.monotonic() + AGAIN_S[telling.deaths]
        telling.deaths += 1
        return telling.problem or said

    def _start_again(self, telling: _Telling) -> None:
        telling.again_at_s = None
        _close_input(telling.process)
        try:
            telling.process = self._started(telling.tool)
            telling.problem = None
        except OSError as error:  # as good as one more death
            log.warning("%s: %s", telling.tool, error)

    def _changed_at(self, tool: Tool) -> int:
        """When the tool's record did, in ns; 0 where there is none, or none that can be looked at."""
        try:
            return report_to.record_of(self._folder, tool).stat().st_mtime_ns
        except OSError:  # a training never ends for its reports
            return 0

    def _started(self, tool: Tool) -> subprocess.Popen[bytes]:
        """In a session of its own, out of reach of the terminal's Ctrl-C."""
        self._folder.mkdir(exist_ok=True)
        log.info("Reporting to %s: reports/%s.log has what it says", tool, tool)
        with (self._folder / f"{tool}.log").open("ab") as output:
            return subprocess.Popen(  # noqa: S603  this code, by this interpreter
                [sys.executable, "-m", "runtime.trainer.reporting", str(self._attempt.folder.path), tool],
                stdin=subprocess.PIPE,
                stdout=output,
                stderr=subprocess.STDOUT,
                cwd=CODE,
                start_new_session=True,
            )


def _close_input(process: subprocess.Popen[bytes], last_word: bytes = b"") -> None:
    if process.stdin is not None and not process.stdin.closed:  # closed where none could be started in its place
        with suppress(OSError):  # it has ended
            process.stdin.write(last_word)
            process.stdin.close()
