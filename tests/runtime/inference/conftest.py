from collections.abc import Sequence
from pathlib import Path

import pytest

from runtime.inference.adapters import Adapters, Share
from tests import jobs, toys


@pytest.fixture(scope="session")
def biased(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A data root with a toy Qwen2, which has biases, and an adapter of it that trained them."""
    root = tmp_path_factory.mktemp("biased")
    toys.make(root / "models" / "toy", "qwen2")
    jobs.train_here(jobs.make(root, adapter_name="mine", lora_config={"bias": "all"}))
    return root


@pytest.fixture
def passes(monkeypatch: pytest.MonkeyPatch) -> list[list[int]]:
    """Each forward pass as it is computed: the number of tokens of each of its sequences."""
    found: list[list[int]] = []
    whole = Adapters.begin_pass

    def begin_pass(self: Adapters, shares: Sequence[Share]) -> None:
        found.append([share.tokens for share in shares])
        whole(self, shares)

    monkeypatch.setattr(Adapters, "begin_pass", begin_pass)
    return found
