"""Processes that a test starts, and real ones as the system shows them."""

import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

import pytest

on_linux = pytest.mark.skipif(sys.platform != "linux", reason="looks at processes in Linux's /proc")

_started: list[subprocess.Popen[str]] = []


def start(command: Sequence[str | Path], cwd: Path) -> subprocess.Popen[str]:
    """A process whose output is kept, and that ends with the test at the latest."""
    process = subprocess.Popen(command, cwd=cwd, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
    _started.append(process)
    return process


def end_started() -> None:
    """What a failed test has left would slow the tests after it."""
    while _started:
        with _started.pop() as process:
            process.kill()


def is_alive(pid: int) -> bool:
    """Whether a process computes still; one that has ended and was not waited for does not."""
    try:
        return "State:\tZ" not in Path(f"/proc/{pid}/status").read_text()
    except (FileNotFoundError, ProcessLookupError):
        return False


def is_stopped(pid: int) -> bool:
    """Whether a process that SIGSTOP was sent to stands still by now."""
    return "State:\tT" in Path(f"/proc/{pid}/status").read_text()
