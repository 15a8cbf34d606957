from pathlib import Path

import pytest

from tests.reporting import StandIns


@pytest.fixture
def stand_ins(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> StandIns:
    made = StandIns(tmp_path / "stand-ins")
    monkeypatch.setenv("PYTHONPATH", str(made.folder))
    monkeypatch.setenv("CALLS", str(made.folder / "calls"))
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    monkeypatch.syspath_prepend(made.folder)
    return made
