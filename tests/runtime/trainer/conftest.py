import shutil
from pathlib import Path

import pytest


@pytest.fixture
def root(tmp_path: Path, toy: Path) -> Path:
    """A data root with one base model, called toy."""
    shutil.copytree(toy, tmp_path / "models" / "toy")
    return tmp_path
