"""Processes as the system shows them, for tests that look at real ones."""

import sys
from pathlib import Path

import pytest

on_linux = pytest.mark.skipif(sys.platform != "linux", reason="looks at processes in Linux's /proc")


def is_alive(pid: int) -> bool:
    """Whether a process computes still; one that has ended and was not waited for does not."""
    try:
        return "State:\tZ" not in Path(f"/proc/{pid}/status").read_text()
    except (FileNotFoundError, ProcessLookupError):
        return False
