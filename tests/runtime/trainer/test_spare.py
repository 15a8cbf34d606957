"""The spare trainer, as a process of its own."""

import os
import subprocess
import sys
from pathlib import Path

import msgspec

from runtime.messages.spare import Assignment
from tests import jobs
from tests.server import CHECKOUT, PATIENCE_S


def test_a_spare_that_has_trained_its_job_does_not_tear_its_interpreter_down(root: Path, tmp_path: Path) -> None:
    """With torch in it that takes seconds, and all memory, while the next job starts."""
    folder = jobs.make(root, training_config={"max_steps": 2})
    torn_down = tmp_path / "torn down"
    (tmp_path / "at_start").mkdir()
    told = f"import atexit, pathlib; atexit.register(pathlib.Path({str(torn_down)!r}).touch)\n"
    (tmp_path / "at_start" / "sitecustomize.py").write_text(told)
    environment = os.environ | {"PYTHONPATH": str(tmp_path / "at_start")}

    subprocess.run([sys.executable, "-c", ""], env=environment, check=True)
    assert torn_down.exists(), "an interpreter that is torn down tells so"
    torn_down.unlink()
    spare = subprocess.run(
        [sys.executable, "-m", "runtime.trainer.spare"],
        input=msgspec.json.encode(Assignment(str(folder.path))) + b"\n",
        cwd=CHECKOUT,
        env=environment,
        timeout=PATIENCE_S,
        check=False,
    )

    assert spare.returncode == 0
    assert jobs.status(folder).status == "completed"
    assert "Completed: the adapter is" in folder.log_file.read_text()
    assert not torn_down.exists()
