from pathlib import Path

import pytest

from tests import jobs, toys


@pytest.fixture(scope="session")
def biased(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A data root with a toy Qwen2, which has biases, and an adapter of it that trained them."""
    root = tmp_path_factory.mktemp("biased")
    toys.make(root / "models" / "toy", "qwen2")
    jobs.train_here(jobs.make(root, adapter_name="mine", lora_config={"bias": "all"}))
    return root
