"""What is in memory, checked by logits: the base with an adapter, and the base untouched by it."""

import json
import math
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file

from runtime.inference.engine import Engine
from runtime.worker_protocol import AdapterFiles, Generate, Generated, LoadFailed, Message
from state.errors import ServiceError
from tests import toys

TOKENS_1T = torch.tensor([[5, 100, 200, 300, 7]])


def _generate(engine: Engine, root: Path, adapter: Path | None, **fields: object) -> Generated:
    request: dict[str, object] = {
        "id": 1,
        "source": str(root / "models" / "toy"),
        "adapter": AdapterFiles(str(adapter), "1") if adapter else None,
        "prompt": "def f(",
        "max_new_tokens": 12,
        "temperature": 0.0,
        "top_p": 1.0,
        "seed": None,
        "stop": [],
    }
    return engine.generate(Generate(**request | fields), lambda: False)  # type: ignore[arg-type]


@torch.no_grad()
def test_the_base_is_itself_again_beside_and_after_an_adapter_with_biases(biased: Path) -> None:
    engine = Engine(biased / ".cache")
    alone = _generate(engine, biased, None)
    assert engine._base is not None
    before_1TV = engine._base.model(TOKENS_1T).logits

    adapted = _generate(engine, biased, biased / "adapters" / "mine")
    assert engine._attached is not None
    adapted_1TV = engine._attached.model(TOKENS_1T).logits
    aside = _generate(engine, biased, None)
    adapted_again = _generate(engine, biased, biased / "adapters" / "mine")
    engine.unload()

    assert not torch.equal(adapted_1TV, before_1TV)
    assert (aside, adapted_again) == (alone, adapted)
    assert torch.equal(engine._base.model(TOKENS_1T).logits, before_1TV)


def test_sampling_follows_its_seed(biased: Path) -> None:
    engine = Engine(biased / ".cache")

    first, again, other = (_generate(engine, biased, None, temperature=2.0, seed=seed).text for seed in (1, 1, 2))

    assert again == first
    assert other != first


def test_a_stop_string_ends_the_text_before_itself(biased: Path) -> None:
    engine = Engine(biased / ".cache")
    whole = _generate(engine, biased, None).text
    stop = whole[5:8]

    stopped = _generate(engine, biased, None, stop=[stop])

    assert stopped.text == whole[: whole.index(stop)]
    assert stopped.finish_reason == "stop"
    assert stopped.completion_tokens < 12


def test_a_cancelled_generation_ends_at_its_next_token(biased: Path) -> None:
    request = Generate(
        id=1,
        source=str(biased / "models" / "toy"),
        adapter=None,
        prompt="def f(",
        max_new_tokens=200,
        temperature=0.0,
        top_p=1.0,
        seed=None,
        stop=[],
    )

    assert Engine(biased / ".cache").generate(request, lambda: True).completion_tokens == 1


@pytest.mark.parametrize(
    ("fields", "error"),
    [
        ({"prompt": "x" * 3000, "max_new_tokens": 1}, "the model's context is 256 tokens"),
        ({"max_new_tokens": 256}, "the model's context is 256 tokens"),
        ({"prompt": [Message("user", "hi")]}, "has no chat template"),
    ],
)
def test_what_the_model_cannot_take_is_refused_in_words(biased: Path, fields: dict[str, object], error: str) -> None:
    with pytest.raises(ServiceError, match=error):
        _generate(Engine(biased / ".cache"), biased, None, **fields)


def _cut(folder: Path) -> None:
    weights = folder / "adapter_model.safetensors"
    weights.write_bytes(weights.read_bytes()[:-100])


def _pickle(folder: Path) -> None:
    (folder / "adapter_model.safetensors").rename(folder / "adapter_model.bin")


def _put_nan(folder: Path) -> None:
    tensors = load_file(folder / "adapter_model.safetensors")
    next(iter(tensors.values())).fill_(math.nan)
    save_file(tensors, folder / "adapter_model.safetensors")


def _leave_one_out(folder: Path) -> None:
    tensors = load_file(folder / "adapter_model.safetensors")
    tensors.pop(next(name for name in tensors if "lora_B" in name))
    save_file(tensors, folder / "adapter_model.safetensors")


def _configure(**changes: object) -> Callable[[Path], None]:
    def change(folder: Path) -> None:
        file = folder / "adapter_config.json"
        file.write_text(json.dumps(json.loads(file.read_text()) | changes))

    return change


@pytest.mark.parametrize(
    ("damage", "error"),
    [
        (_cut, r"adapter_model.safetensors: is cut short"),
        (_pickle, r"adapter_model.safetensors is missing \(pickled weights are not loaded\)"),
        (_put_nan, r"holds NaN or infinity"),
        (_leave_one_out, r"lacks .*lora_B"),
        (_configure(peft_type="IA3"), r"peft_type is IA3, and only LORA is supported"),
        (_configure(task_type="SEQ_CLS"), r"task_type is SEQ_CLS"),
        (_configure(r=7), r"does not fit the base model: .* has the shape \[4, 64\], and this base needs \[7, 64\]"),
        (_configure(target_modules=["nonsense"]), r"does not fit the base model"),
        (_configure(r="four"), r"adapter_config.json: "),
    ],
)
def test_a_damaged_adapter_is_refused_in_words_and_the_one_before_still_answers(
    biased: Path, tmp_path: Path, damage: Callable[[Path], None], error: str
) -> None:
    damaged = tmp_path / "damaged"
    shutil.copytree(biased / "adapters" / "mine", damaged)
    damage(damaged)
    engine = Engine(biased / ".cache")
    before = _generate(engine, biased, biased / "adapters" / "mine")

    with pytest.raises(LoadFailed, match=error):
        engine.load(str(biased / "models" / "toy"), AdapterFiles(str(damaged), "2"))

    assert engine._attached is not None
    assert _generate(engine, biased, biased / "adapters" / "mine") == before


def test_an_adapter_of_another_architecture_is_refused(biased: Path, tmp_path: Path) -> None:
    other = toys.make(tmp_path / "gpt2", "gpt2")

    with pytest.raises(LoadFailed, match="does not fit the base model"):
        Engine(biased / ".cache").load(str(other), AdapterFiles(str(biased / "adapters" / "mine"), "1"))
