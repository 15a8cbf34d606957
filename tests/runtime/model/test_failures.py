"""Out of memory is one rule for the trainer, inference and the quantized bases."""

import pytest
import torch

from runtime.inference import failures
from runtime.model.failures import is_out_of_memory
from runtime.trainer.__main__ import explain


def _by_torchs_cpu_allocator() -> RuntimeError:
    with pytest.raises(RuntimeError) as failed:
        torch.empty(2**50)
    return failed.value


@pytest.mark.parametrize(
    "error",
    [
        _by_torchs_cpu_allocator(),
        MemoryError(),
        torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB"),
        RuntimeError("MPS backend out of memory (MPS allocated: 7.64 GiB, max allowed: 18.13 GiB)"),
    ],
)
def test_out_of_memory_is_told_as_such_by_the_trainer_and_by_inference(error: Exception) -> None:
    assert is_out_of_memory(error)
    assert explain(error).startswith("Out of memory")
    assert failures.sentence(error, "generate").startswith("There is not enough device memory to generate")


@pytest.mark.parametrize("error", [RuntimeError("shape '[2]' is invalid"), OSError("No space left on device")])
def test_other_failures_are_told_as_they_are(error: Exception) -> None:
    assert not is_out_of_memory(error)
    assert not explain(error).startswith("Out of memory")
