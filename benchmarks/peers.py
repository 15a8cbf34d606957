"""The environment of those that Lathe is compared with: on top of its own, with what only they need."""

import subprocess
import sysconfig
from pathlib import Path

from benchmarks import environments
from benchmarks.server import CHECKOUT

PACKAGES = ("trl", "datasets", "transformers[serving]")


def python() -> Path:
    """Its interpreter; the first call makes the environment."""
    return environments.have("peers", _fill)


def _fill(python: Path) -> None:
    (environments.site_packages(python) / "lathe.pth").write_text(sysconfig.get_path("purelib") + "\n")
    constraints = str(CHECKOUT / "constraints.txt")
    subprocess.run([python, "-m", "pip", "install", "--quiet", "--constraint", constraints, *PACKAGES], check=True)
