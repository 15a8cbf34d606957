"""Setups of machines, most of which we don't have."""

from typing import Any

import pytest
import torch

from runtime.model.device import Facts, Setup, choose, pick
from runtime.process import memory


def _facts(kind: str = "cuda", **changes: object) -> Facts:
    facts: dict[str, Any] = {"kind": kind, "name": "a device", "memory_mb": 81_000, "supports_bf16": True}
    return Facts(**facts | changes)


def test_a_recent_gpu_computes_in_bf16_with_plain_adamw() -> None:
    chosen = choose(_facts("cuda"))

    assert (chosen.device, chosen.dtype, chosen.optimizer) == ("cuda:0", "bfloat16", "adamw")


def test_a_small_gpu_pages_its_optimizer() -> None:
    assert choose(_facts("cuda", memory_mb=8_000)).optimizer == "paged_adamw_8bit"


@pytest.mark.parametrize("kind", ["cuda", "mps", "cpu"])
def test_no_device_trains_in_float16_which_overflows(kind: str) -> None:
    assert choose(_facts(kind, supports_bf16=False)).dtype == "float32"


def test_a_mac_computes_on_its_gpu_within_unified_memory() -> None:
    chosen = choose(_facts("mps", memory_mb=48_000))

    assert (chosen.device, chosen.dtype, chosen.optimizer) == ("mps", "bfloat16", "adamw")


def test_every_choice_has_its_reason_in_words() -> None:
    chosen = choose(_facts("cuda", memory_mb=8_000))

    said = "\n".join(chosen.reasons)
    assert all(word in said for word in ("a device", "8 GiB", "bf16", "paged 8-bit AdamW"))


def test_a_precision_that_is_asked_for_is_taken() -> None:
    assert choose(_facts("cuda"), "float32").dtype == "float32"
    assert choose(_facts("cpu", supports_bf16=False), "bfloat16").dtype == "bfloat16"


def test_a_container_has_the_memory_that_it_is_given(monkeypatch: pytest.MonkeyPatch) -> None:
    """The prefix cache takes a share of it."""
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    monkeypatch.setattr(torch.backends.mps, "is_available", lambda: False)
    monkeypatch.setattr(memory, "free_in_cgroups", lambda: 1000 * 2**20)

    assert pick().memory_mb == 1000


def test_this_machine_has_a_setup() -> None:
    assert isinstance(pick(), Setup)
