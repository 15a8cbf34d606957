"""Real models' folders, of every architecture that Lathe names: found, checked and trained by one code path."""

import json
import shutil
from pathlib import Path

import pytest
from safetensors.torch import load_file, save_file

from runtime.model import bases, tokenizers
from runtime.model.device import pick
from runtime.trainer import lora
from state import models
from state.errors import ServiceError
from tests import jobs, toys

LLAMAS = {"q_proj", "k_proj", "v_proj", "o_proj", "gate_proj", "up_proj", "down_proj"}
LINEAR = dict.fromkeys(("llama", "qwen2", "qwen3", "mistral", "gemma", "gemma2", "gemma3"), LLAMAS) | {
    "phi": {"q_proj", "k_proj", "v_proj", "dense", "fc1", "fc2"},
    "phi3": {"qkv_proj", "o_proj", "gate_up_proj", "down_proj"},
    "gpt2": {"c_attn", "c_proj", "c_fc"},
}


@pytest.mark.parametrize("architecture", toys.ARCHITECTURES)
def test_every_architecture_is_trained_in_nf4_by_default_settings(tmp_path: Path, architecture: str) -> None:
    toy = toys.make(tmp_path / "models" / "toy", architecture)
    folder = jobs.make(tmp_path)

    jobs.train_here(folder)

    config = json.loads((folder.adapter / "adapter_config.json").read_text())
    has_defaults = {"q_proj", "v_proj"} <= LINEAR[architecture]
    assert set(config["target_modules"]) == ({"q_proj", "v_proj"} if has_defaults else LINEAR[architecture])
    from_headers = models.adaptable_modules(models.matrices(models.tensors(toy)), models.config(toy)["model_type"])
    assert from_headers == LINEAR[architecture]
    base = bases.load_base(str(toy), pick(), tmp_path / "bases")
    assert lora.adaptable_modules(base) == LINEAR[architecture]
    quantized = {name.rsplit(".", 1)[-1] for name, module in base.named_modules() if hasattr(module, "quant_state")}
    assert quantized == LINEAR[architecture]


def test_what_a_mambas_kernels_read_for_themselves_is_not_offered() -> None:
    layers = ["backbone.layers.0.mixer.in_proj", "backbone.layers.0.mixer.out_proj", "lm_head"]

    assert models.adaptable_modules(layers, "llama") == {"in_proj", "out_proj"}
    assert models.adaptable_modules(layers, "mamba") == {"in_proj"}


def test_a_model_in_shards_is_read_like_one_file(tmp_path: Path, toy: Path) -> None:
    sharded = tmp_path / "models" / "toy"
    shutil.copytree(toy, sharded)
    tensors = load_file(sharded / "model.safetensors")
    (sharded / "model.safetensors").unlink()
    names = sorted(tensors)
    weight_map: dict[str, str] = {}
    for number, part in enumerate((names[::2], names[1::2]), start=1):
        file = f"model-{number:05}-of-00002.safetensors"
        save_file({name: tensors[name] for name in part}, sharded / file, metadata={"format": "pt"})
        weight_map |= dict.fromkeys(part, file)
    index = {"metadata": {}, "weight_map": weight_map}
    (sharded / "model.safetensors.index.json").write_text(json.dumps(index))

    assert models.tensors(sharded) == models.tensors(toy)
    jobs.train_here(jobs.make(tmp_path))


def test_a_model_from_the_hubs_cache_is_trained_offline(
    tmp_path: Path, toy: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The cache's own layout: refs/main names a snapshot, whose files are links to blobs."""
    cache = tmp_path / "hub"
    monkeypatch.setenv("HF_HUB_CACHE", str(cache))
    repository = cache / "models--someone--toy-model"
    snapshot = repository / "snapshots" / "abc123"
    blobs = repository / "blobs"
    snapshot.mkdir(parents=True)
    blobs.mkdir()
    for file in toy.iterdir():
        shutil.copy(file, blobs / file.name)
        (snapshot / file.name).symlink_to(f"../../blobs/{file.name}")
    (repository / "refs").mkdir()
    (repository / "refs" / "main").write_text("abc123")
    folder = jobs.make(tmp_path, model_name="someone/toy-model")

    jobs.train_here(folder)

    assert jobs.status(folder).adapter_name == "toy-model-toy"
    config = json.loads((folder.adapter / "adapter_config.json").read_text())
    assert config["base_model_name_or_path"] == "someone/toy-model"


def test_pickled_weights_are_not_loaded(tmp_path: Path, toy: Path) -> None:
    pickled = tmp_path / "pickled"
    shutil.copytree(toy, pickled)
    (pickled / "model.safetensors").rename(pickled / "pytorch_model.bin")

    with pytest.raises(ServiceError, match="Model pickled cannot be loaded"):
        bases.load_base(str(pickled), pick(), tmp_path / "bases")


def test_a_model_without_a_padding_token_gets_one_of_its_own_tokens(tmp_path: Path, toy: Path) -> None:
    bare = tmp_path / "bare"
    shutil.copytree(toy, bare)
    settings = json.loads((bare / "tokenizer_config.json").read_text())
    del settings["pad_token"]
    (bare / "tokenizer_config.json").write_text(json.dumps(settings))

    tokenizer = tokenizers.load_tokenizer(str(bare))

    assert tokenizer.pad_token_id == tokenizer.eos_token_id
