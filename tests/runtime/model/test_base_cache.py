"""Quantized bases on disk: equal to the model they were made from, made once, made anew when it changes."""

import os
import shutil
import threading
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file, save_file
from transformers import AutoModelForCausalLM, PreTrainedModel

from runtime.model import base_cache, bases
from runtime.model.bases import load_base, quantization
from runtime.model.device import pick
from runtime.trainer.loss import evaluating
from state import locks
from tests import jobs, toys
from tests.server import PATIENCE_S

TOKENS_1T = torch.tensor([[5, 100, 200, 300, 7]])


def _copies(cache: Path) -> list[Path]:
    return sorted(path.parent for path in cache.rglob("config.json"))


def _load(model: Path, cache: Path) -> PreTrainedModel:
    return load_base(str(model), pick(), cache)


@torch.no_grad()
def _logits(model: PreTrainedModel) -> torch.Tensor:
    with evaluating(model.train()):  # as the trainer evaluates: bitsandbytes' own eval mode has a kernel of its own
        logits_1TV: torch.Tensor = model(TOKENS_1T).logits
    return logits_1TV


@pytest.mark.parametrize("architecture", toys.ARCHITECTURES)
def test_a_kept_base_gives_the_logits_of_the_model_quantized_at_load(tmp_path: Path, architecture: str) -> None:
    toy = toys.make(tmp_path / "toy", architecture)
    setup = pick()
    stock = AutoModelForCausalLM.from_pretrained(
        toy, quantization_config=quantization(setup.torch_dtype), dtype=setup.torch_dtype
    )

    first, second = _load(toy, tmp_path / "bases"), _load(toy, tmp_path / "bases")

    expected_1TV = _logits(stock)
    assert torch.equal(_logits(first), expected_1TV)
    assert torch.equal(_logits(second), expected_1TV)
    assert len(_copies(tmp_path / "bases")) == 1


@pytest.mark.parametrize(
    "failure",
    [
        torch.OutOfMemoryError("CUDA out of memory"),
        RuntimeError("DefaultCPUAllocator: can't allocate memory: you tried to allocate 8 bytes"),
    ],
)
def test_a_device_without_memory_costs_no_copy(
    tmp_path: Path, toy: Path, failure: RuntimeError, monkeypatch: pytest.MonkeyPatch
) -> None:
    _load(toy, tmp_path / "bases")
    (copy,) = _copies(tmp_path / "bases")
    before = (copy / "config.json").stat().st_ino

    from_pretrained = bases._from_pretrained

    def full(source: str, *rest: Any, **options: Any) -> PreTrainedModel:
        if source == str(copy):
            raise failure
        return from_pretrained(source, *rest, **options)

    with monkeypatch.context() as patched:
        patched.setattr(bases, "_from_pretrained", full)
        with pytest.raises(type(failure)):
            _load(toy, tmp_path / "bases")

    assert (copy / "config.json").stat().st_ino == before


def test_a_changed_model_gets_a_new_copy_and_the_old_one_goes(tmp_path: Path, toy: Path) -> None:
    mine = shutil.copytree(toy, tmp_path / "mine")
    before = _load(mine, tmp_path / "bases").get_output_embeddings().weight.clone()
    (copy,) = _copies(tmp_path / "bases")

    tensors = load_file(mine / "model.safetensors")
    save_file({name: tensor * 2 for name, tensor in tensors.items()}, mine / "model.safetensors", {"format": "pt"})
    after = _load(mine, tmp_path / "bases").get_output_embeddings().weight

    assert torch.equal(after, before * 2)
    assert copy not in _copies(tmp_path / "bases")
    assert len(_copies(tmp_path / "bases")) == 1


def test_of_those_that_start_at_once_one_quantizes_and_the_others_wait_for_its_copy(
    tmp_path: Path, toy: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    kept = base_cache.folder_of(tmp_path / "bases", str(toy), pick())
    lock, keep = kept.with_suffix(".lock"), base_cache.keep
    others: list[threading.Thread] = []
    wait, loaded, made = threading.Event(), list[PreTrainedModel](), list[bool]()
    hold = locks.hold

    def told(path: Path, timeout_s: float) -> AbstractContextManager[None]:
        if others and path == lock:
            wait.set()
        return hold(path, timeout_s)

    def kept_while_another_waits(*given: Any) -> bool:
        assert locks.is_held(lock)
        others.append(threading.Thread(target=lambda: loaded.append(_load(toy, tmp_path / "bases"))))
        others[0].start()
        assert wait.wait(PATIENCE_S)
        made.append(keep(*given))
        return made[-1]

    monkeypatch.setattr(locks, "hold", told)
    monkeypatch.setattr(base_cache, "keep", kept_while_another_waits)

    first = _load(toy, tmp_path / "bases")
    others[0].join()

    assert (made, len(loaded)) == ([True], 1)
    assert torch.equal(_logits(loaded[0]), _logits(first))


def test_a_damaged_copy_is_made_anew(tmp_path: Path, toy: Path, caplog: pytest.LogCaptureFixture) -> None:
    whole = _load(toy, tmp_path / "bases").get_output_embeddings().weight.clone()  # its file is about to be cut
    (copy,) = _copies(tmp_path / "bases")
    os.truncate(copy / "model.safetensors", 1000)

    mended = _load(toy, tmp_path / "bases")

    assert "made anew" in caplog.text
    assert torch.equal(mended.get_output_embeddings().weight, whole)
    assert _copies(tmp_path / "bases") == [copy]


def test_without_room_for_a_copy_the_base_is_loaded_all_the_same(
    tmp_path: Path, toy: Path, caplog: pytest.LogCaptureFixture
) -> None:
    (tmp_path / "bases").write_text("a file where the folder would be")

    assert _load(toy, tmp_path / "bases").config.model_type == "llama"
    assert "not kept" in caplog.text


def test_training_biases_leaves_the_kept_base_as_it_is(tmp_path: Path) -> None:
    """Its weights are mapped from the file: what is trained of them must not be written there."""
    toys.make(tmp_path / "models" / "toy", "qwen2")
    folders = [
        jobs.make(tmp_path, f"job_{name}", lora_config={"bias": "all"}, seed=1, adapter_name=name) for name in "ab"
    ]

    for folder in folders:
        jobs.train_here(folder)

    assert jobs.losses(folders[0]) == jobs.losses(folders[1])
    assert jobs.weights(folders[0]) == jobs.weights(folders[1])
