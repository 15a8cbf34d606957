import pytest

from runtime.inference.paged import decoding_graphs, pool, runner
from tests.recording import Recorder


@pytest.fixture
def recorder(monkeypatch: pytest.MonkeyPatch) -> Recorder:
    """Pages of 16 tokens on a CPU, and decoding passes that are recorded."""
    found = Recorder()
    monkeypatch.setattr(runner, "DEVICES", ("cpu",))
    monkeypatch.setattr(pool, "PAGE", 16)
    monkeypatch.setitem(decoding_graphs.RECORDERS, "cpu", found)
    return found
