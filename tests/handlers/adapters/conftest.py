import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.server import Server, wait_until


@pytest.fixture
def copy_in(training: Server, trained: Path) -> Callable[[str], Path]:
    """Put a copy of the trained adapter under a name, and wait until it is listed."""

    def copy(name: str) -> Path:
        hidden = training.root / "adapters" / f".{name}.new"
        shutil.copytree(trained, hidden)
        folder = hidden.rename(training.root / "adapters" / name)
        wait_until(lambda: training.get(f"/adapters/{name}").status_code == 200, f"{name} is listed")
        return folder

    return copy
