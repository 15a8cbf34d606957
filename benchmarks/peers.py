"""The environment of those that Lathe is compared with: on top of its own, with what only they need."""

import subprocess
import sys
import sysconfig
from pathlib import Path

CHECKOUT = Path(__file__).resolve().parent.parent
ENVIRONMENT = CHECKOUT / ".cache" / "peers"
PACKAGES = ("trl", "datasets", "transformers[serving]")


def python() -> Path:
    """Its interpreter; the first call makes the environment."""
    python = ENVIRONMENT / "bin" / "python"
    if not (ENVIRONMENT / "complete").exists():
        subprocess.run([sys.executable, "-m", "venv", "--clear", ENVIRONMENT], check=True)
        for packages in ENVIRONMENT.glob("lib/python*/site-packages"):
            (packages / "lathe.pth").write_text(sysconfig.get_path("purelib") + "\n")
        constraints = str(CHECKOUT / "constraints.txt")
        subprocess.run([python, "-m", "pip", "install", "--quiet", "--constraint", constraints, *PACKAGES], check=True)
        (ENVIRONMENT / "complete").touch()
    return python
