"""A merged model is what peft's own merging makes of base and adapter."""

from pathlib import Path
from typing import Any

import pytest
import torch
from peft import PeftModel
from safetensors.torch import load_file
from transformers import AutoModelForCausalLM, AutoTokenizer

from runtime.export import merged
from tests import exports

CASES: dict[str, tuple[str, dict[str, Any]]] = {
    "llama, ranks and scalings of each layer's own": ("llama", exports.PATTERNS),
    "gpt2, weights the other way round": ("gpt2", {"target_modules": ["c_attn", "c_fc"], "fan_in_fan_out": True}),
    "qwen2, biases": ("qwen2", {"target_modules": ["q_proj", "v_proj"], "bias": "all"}),
    "mistral, whole layers": (
        "mistral",
        {"target_modules": ["o_proj"], "modules_to_save": ["lm_head", "embed_tokens"]},
    ),
    "gpt2, DoRA": ("gpt2", {"target_modules": ["c_attn", "c_fc"], "fan_in_fan_out": True, "use_dora": True}),
    "phi": ("phi", {"target_modules": "all-linear"}),
}


@pytest.mark.parametrize("case", CASES)
def test_a_merged_model_equals_pefts_own_merge(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, case: str) -> None:
    monkeypatch.setattr(merged, "SHARD", 400_000)  # several files
    made = exports.make(tmp_path, CASES[case][0], "merged", CASES[case][1])

    loaded: Any = AutoModelForCausalLM.from_pretrained(made.folder, output_loading_info=True)
    model, info = loaded
    peft = PeftModel.from_pretrained(AutoModelForCausalLM.from_pretrained(made.base), made.adapter).merge_and_unload()

    assert not any(info[what] for what in ("missing_keys", "unexpected_keys", "mismatched_keys"))
    ours, theirs = model.state_dict(), peft.state_dict()
    plain = AutoModelForCausalLM.from_pretrained(made.base).state_dict()
    assert ours.keys() == theirs.keys()
    assert sum(not torch.equal(ours[name], plain[name]) for name in ours) > 2
    for name in ours:
        torch.testing.assert_close(ours[name], theirs[name], rtol=0, atol=1e-6)
    assert len(list(made.folder.glob("model-*.safetensors"))) > 1
    assert AutoTokenizer.from_pretrained(made.folder)("a b") == AutoTokenizer.from_pretrained(made.base)("a b")


def test_a_merged_model_keeps_the_bases_own_type(tmp_path: Path) -> None:
    lora = {"target_modules": "all-linear"}
    made = exports.make(tmp_path, "llama", "merged", lora, dtype=torch.bfloat16)

    ours = load_file(made.folder / "model.safetensors")
    whole = AutoModelForCausalLM.from_pretrained(made.base, dtype=torch.float32)
    theirs = PeftModel.from_pretrained(whole, made.adapter).merge_and_unload().state_dict()

    assert {tensor.dtype for tensor in ours.values()} == {torch.bfloat16}
    for name, tensor in ours.items():
        assert torch.equal(tensor, theirs[name].to(torch.bfloat16))


@pytest.mark.filterwarnings("ignore:Model has `tie_word_embeddings")
def test_an_adapter_on_a_shared_output_layer_leaves_the_embedding_alone(tmp_path: Path) -> None:
    made = exports.make(tmp_path, "gemma", "merged", {"target_modules": ["lm_head", "q_proj"], "r": 4})

    ours, plain = load_file(made.folder / "model.safetensors"), load_file(made.base / "model.safetensors")
    lora = load_file(made.adapter / "adapter_model.safetensors")
    a_RI, b_OR = (lora[f"base_model.model.lm_head.lora_{side}.weight"] for side in "AB")
    model = AutoModelForCausalLM.from_pretrained(made.folder)

    embedding = plain["model.embed_tokens.weight"]
    assert torch.equal(ours["model.embed_tokens.weight"], embedding)
    torch.testing.assert_close(ours["lm_head.weight"], embedding + 2 * b_OR @ a_RI, rtol=0, atol=1e-6)
    assert model.lm_head.weight.data_ptr() != model.model.embed_tokens.weight.data_ptr()
