"""Repeatable kernels, asked of torch on a CPU: the same switch that CUDA's kernels obey."""

from collections.abc import Iterator, Sequence
from pathlib import Path

import pytest
import torch
from peft import PeftModel

from runtime.model import bases, device
from runtime.trainer import lora, repeatable
from runtime.trainer.documents import Document
from runtime.trainer.loss import SummedLoss, packed
from state.config import LoraConfig


@pytest.fixture(autouse=True)
def _as_it_was() -> Iterator[None]:
    filled = torch.utils.deterministic.fill_uninitialized_memory  # type: ignore[attr-defined]
    yield
    torch.use_deterministic_algorithms(mode=False)
    torch.utils.deterministic.fill_uninitialized_memory = filled  # type: ignore[attr-defined]


@pytest.fixture
def adapted(toy: Path, tmp_path: Path) -> PeftModel:
    base = bases.load_base(str(toy), device.pick(), tmp_path / "bases")
    return lora.attach(base, LoraConfig(r=4, lora_dropout=0.1), "toy", str(toy))


def test_repeatable_kernels_are_on_and_the_trial_leaves_no_trace(adapted: PeftModel) -> None:
    torch.manual_seed(7)
    undisturbed = torch.rand(3)
    torch.manual_seed(7)

    repeatable.prefer(adapted, packed(adapted, "cpu"))

    assert torch.are_deterministic_algorithms_enabled()
    assert torch.equal(torch.rand(3), undisturbed)
    assert all(parameter.grad is None for parameter in adapted.parameters())


def test_a_model_that_needs_another_kernel_trains_all_the_same(
    adapted: PeftModel, caplog: pytest.LogCaptureFixture
) -> None:
    plain = packed(adapted, "cpu")

    def unrepeatable(documents: Sequence[Document]) -> torch.Tensor:
        torch.zeros(3).put_(torch.tensor([1]), torch.ones(1))  # torch has no repeatable kernel for this one
        return plain.of_each(documents)

    with caplog.at_level("INFO"):
        repeatable.prefer(adapted, SummedLoss(unrepeatable))

    assert not torch.are_deterministic_algorithms_enabled()
    assert "may end a little differently for it: put_" in caplog.text
