"""A short turn of the torture command: kills at random, and nothing lost."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

from benchmarks import torture
from benchmarks.torture import COLD, SPARE, WAS_SPARE, trainer_of
from state import locks, store
from state.jobs import Status
from tests import jobs
from tests.server import CHECKOUT

WAITS = "import sys; print(); sys.stdout.flush(); sys.stdin.read()"


def test_a_few_random_kills_of_trainers_of_both_kinds_lose_nothing(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    short = {"max_steps": 20, "batch_size": 2, "logging_steps": 2, "save_steps": 2, "learning_rate": 1e-3}
    monkeypatch.setattr(torture, "JOB", torture.JOB | {"training_config": short})
    monkeypatch.setattr(torture, "WHOLE_JOB_S", 5.0)
    monkeypatch.setattr(torture, "SERVER_SHARE", 0.0)
    monkeypatch.setattr(sys, "argv", ["torture", "--kills", "2", "--minutes", "60"])

    exit_code = torture.main()

    told = capsys.readouterr().out
    assert exit_code == 0, told
    counts = json.loads(told[: told.rindex("}") + 1])
    assert counts[f"killed {COLD}"] >= 1
    assert counts[f"killed {WAS_SPARE}"] >= 1
    assert counts["jobs equal to the undisturbed one"] == counts["jobs"]


def test_a_trainer_that_was_the_spare_is_found_by_the_lock_that_it_holds(tmp_path: Path) -> None:
    folder = jobs.make(tmp_path)
    hold = f"""
import sys
sys.path.append({str(CHECKOUT)!r})
from pathlib import Path
from state import locks
with locks.hold(Path(sys.argv[1]), 0):
    print(flush=True)
    sys.stdin.read()
"""
    command = [sys.executable, "-c", hold, str(folder.trainer_lock), SPARE]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as spare:
        assert spare.stdout is not None
        spare.stdout.readline()
        store.write(folder.status_file, Status(status="running", pid=spare.pid))

        found = trainer_of(folder)

        assert found is not None
        assert found.pid == spare.pid
        spare.kill()
    assert not locks.is_held(folder.trainer_lock)
    assert trainer_of(folder) is None


def test_a_cold_trainer_is_found_while_it_starts(tmp_path: Path) -> None:
    folder = jobs.make(tmp_path)
    (tmp_path / "runtime").mkdir()
    (tmp_path / "runtime" / "trainer.py").write_text(WAITS)
    command = [sys.executable, "-m", "runtime.trainer", str(folder.path)]
    with subprocess.Popen(command, cwd=tmp_path, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as cold:
        assert cold.stdout is not None
        cold.stdout.readline()

        found = trainer_of(folder)

        assert found is not None
        assert found.pid == cold.pid
        cold.kill()
