"""Environments of their own for those that Lathe is compared with, under `.cache`."""

import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

from benchmarks.server import CHECKOUT


def have(name: str, fill: Callable[[Path], None]) -> Path:
    """The interpreter of an environment; the first call makes it, and has `fill` install what it is for."""
    folder = CHECKOUT / ".cache" / name
    python = folder / "bin" / "python"
    if not (folder / "complete").exists():
        subprocess.run([sys.executable, "-m", "venv", "--clear", folder], check=True)
        fill(python)
        (folder / "complete").touch()
    return python


def site_packages(python: Path) -> Path:
    [found] = python.parent.parent.glob("lib/python*/site-packages")
    return found
