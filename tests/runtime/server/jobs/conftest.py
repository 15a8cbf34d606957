from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from tests import standins
from tests.server import PATIENCE_S
from tests.standins import Rig


@pytest.fixture
def rig(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[..., Rig]]:
    """The server's own parts on stand-ins of its processes; again on the same root, it is a server's restart."""
    code = tmp_path / "code"
    standins.stand_in(code, monkeypatch)
    monkeypatch.setattr("runtime.server.jobs.queue.ROUND_S", 0.05)
    monkeypatch.setattr("runtime.server.jobs.queue.QUIET_ROUND_S", 0.05)
    monkeypatch.setattr("runtime.server.jobs.queue.ROOM_TIMEOUT_S", PATIENCE_S)

    made: list[Rig] = []

    def make(*arguments: Any, **options: Any) -> Rig:
        made.append(Rig(tmp_path / "root", *arguments, **options))
        return made[-1]

    yield make
    for one in made:
        one.end_trainers()
