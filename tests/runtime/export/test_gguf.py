"""GGUF files hold the merged model's numbers under llama.cpp's names, in llama.cpp's order.

That llama.cpp itself then writes the same tokens is what `python -m benchmarks.llamacpp` shows.
"""

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from gguf import GGUFReader, TokenType
from gguf.quants import dequantize
from peft import PeftModel
from tokenizers import Tokenizer, models, normalizers, processors
from transformers import AutoModelForCausalLM, AutoTokenizer

from runtime.export.making import export
from runtime.messages.export import Format, Order
from state.errors import ServiceError
from tests import exports, toys

LAYERS = {
    "self_attn.q_proj": "attn_q",
    "self_attn.k_proj": "attn_k",
    "self_attn.v_proj": "attn_v",
    "self_attn.o_proj": "attn_output",
    "mlp.gate_proj": "ffn_gate",
    "mlp.up_proj": "ffn_up",
    "mlp.down_proj": "ffn_down",
}


def _tensors(file: Path) -> dict[str, torch.Tensor]:
    return {tensor.name: torch.from_numpy(np.array(tensor.data)) for tensor in GGUFReader(file).tensors}


def _fields(file: Path) -> dict[str, Any]:
    return {name: field.contents() for name, field in GGUFReader(file).fields.items()}


def _peft(made: exports.Exported) -> dict[str, torch.Tensor]:
    """The merged weights, as peft makes them."""
    model = PeftModel.from_pretrained(AutoModelForCausalLM.from_pretrained(made.base), made.adapter)
    merged: dict[str, torch.Tensor] = model.merge_and_unload().state_dict()
    return merged


def _as_llama_turns_it(rows: torch.Tensor, heads: int) -> torch.Tensor:
    """Transformers' rope turns row i of a head with row i + half, llama.cpp's turns neighbours."""
    half = rows.shape[0] // heads // 2
    order = [head * 2 * half + i + side * half for head in range(heads) for i in range(half) for side in (0, 1)]
    return rows[order]


def _expected(architecture: str, layer: str, rows: torch.Tensor) -> torch.Tensor:
    heads = {"self_attn.q_proj": 4, "self_attn.k_proj": 2}.get(layer)
    return _as_llama_turns_it(rows, heads) if architecture in ("llama", "mistral") and heads else rows


@pytest.mark.parametrize("architecture", ["llama", "mistral", "qwen2", "qwen3", "gemma"])
def test_a_gguf_model_has_the_merged_numbers_in_llamas_order(tmp_path: Path, architecture: str) -> None:
    made = exports.make(tmp_path, architecture, "gguf", exports.PATTERNS)

    found, fields = _tensors(made.folder / "model.gguf"), _fields(made.folder / "model.gguf")
    merged = _peft(made)

    kind = "llama" if architecture == "mistral" else architecture
    assert (fields["general.architecture"], fields[f"{kind}.block_count"]) == (kind, 2)
    assert (fields[f"{kind}.attention.head_count_kv"], fields[f"{kind}.attention.key_length"]) == (2, 16)
    for block in range(2):
        for layer, name in LAYERS.items():
            expected = _expected(architecture, layer, merged[f"model.layers.{block}.{layer}.weight"])
            torch.testing.assert_close(found[f"blk.{block}.{name}.weight"].float(), expected, rtol=1e-3, atol=1e-6)
    norm = merged["model.norm.weight"] + (architecture == "gemma")
    assert torch.equal(found["output_norm.weight"], norm)
    torch.testing.assert_close(
        found["token_embd.weight"].float(), merged["model.embed_tokens.weight"], rtol=1e-3, atol=1e-6
    )
    assert ("output.weight" in found) == (architecture != "gemma")
    assert ("blk.0.attn_q.bias" in found) == (architecture == "qwen2")


def test_a_gguf_lora_changes_what_peft_changes(tmp_path: Path) -> None:
    made = exports.make(tmp_path, "llama", "gguf-lora", exports.PATTERNS)

    found, fields = _tensors(made.folder / "adapter.gguf"), _fields(made.folder / "adapter.gguf")
    plain, merged = AutoModelForCausalLM.from_pretrained(made.base).state_dict(), _peft(made)

    assert (fields["general.type"], fields["adapter.type"], fields["general.architecture"]) == (
        "adapter",
        "lora",
        "llama",
    )
    assert len(found) == 2 * 2 * len(LAYERS)
    for layer, name in LAYERS.items():
        a_RI, b_OR = (found[f"blk.1.{name}.weight.lora_{side}"] for side in "ab")
        change = b_OR @ a_RI * fields["adapter.lora.alpha"] / a_RI.shape[0]  # as llama.cpp scales it
        weight = f"model.layers.1.{layer}.weight"
        torch.testing.assert_close(
            change, _expected("llama", layer, merged[weight] - plain[weight]), rtol=1e-4, atol=1e-6
        )
    assert "ADAPTER ./adapter.gguf" in (made.folder / "Modelfile").read_text()


def test_a_base_alone_has_its_layers_in_four_bits_and_what_is_around_them_in_eight(tmp_path: Path, toy: Path) -> None:
    target = tmp_path / "base"
    export(Order(None, "toy", str(toy), "gguf-base", str(target)))

    found = {tensor.name: tensor for tensor in GGUFReader(target / "model.gguf").tensors}
    own = AutoModelForCausalLM.from_pretrained(toy).state_dict()

    kinds = {name: tensor.tensor_type.name for name, tensor in found.items()}
    assert {kinds[name] for name in ("token_embd.weight", "output.weight")} == {"Q8_0"}
    assert {kinds[f"blk.1.{name}.weight"] for name in LAYERS.values()} == {"Q4_0"}
    for name, weight, steps in (
        ("blk.1.ffn_up", "model.layers.1.mlp.up_proj", 8),
        ("blk.1.attn_k", "model.layers.1.self_attn.k_proj", 8),
        ("output", "lm_head", 127),
    ):
        tensor = found[f"{name}.weight"]
        rounded = torch.from_numpy(dequantize(tensor.data, tensor.tensor_type))
        expected = _expected("llama", weight.removeprefix("model.layers.1."), own[f"{weight}.weight"].float())
        blocks = expected.reshape(-1, 32)  # numbers that share a scale
        assert ((rounded.reshape(-1, 32) - blocks).abs() <= 1.01 * blocks.abs().amax(1, keepdim=True) / steps).all()


@pytest.mark.filterwarnings("ignore:Model has `tie_word_embeddings")
@pytest.mark.parametrize(
    ("architecture", "export_format", "lora", "words"),
    [
        (
            "gpt2",
            "gguf",
            {"target_modules": ["c_attn"], "fan_in_fan_out": True},
            "gemma, llama, mistral, qwen2, qwen3 can",
        ),
        ("gemma", "gguf", {"target_modules": ["lm_head"]}, "export it as merged"),
        (
            "qwen2",
            "gguf-lora",
            {"target_modules": ["q_proj"], "bias": "all"},
            "LoRA matrices only; export it as gguf",
        ),
        (
            "llama",
            "gguf-lora",
            {"target_modules": ["q_proj"], "use_dora": True},
            "no place for its magnitudes; export it as gguf",
        ),
        ("gemma", "gguf-lora", {"target_modules": ["lm_head"]}, "shares its weights with the embedding"),
    ],
)
def test_what_llama_cpp_would_not_compute_is_refused_in_words(
    tmp_path: Path,
    architecture: str,
    export_format: Format,
    lora: dict[str, Any],
    words: str,
) -> None:
    with pytest.raises(ServiceError, match=words):
        exports.make(tmp_path, architecture, export_format, lora)

    assert {path.name for path in tmp_path.iterdir()} == {"toy", "mine"}


def test_the_rope_of_llama_3_is_divided_as_transformers_divides_it(tmp_path: Path) -> None:
    rope = {"rope_type": "llama3", "rope_theta": 10000.0, "factor": 8.0, "low_freq_factor": 1.0,
            "high_freq_factor": 4.0, "original_max_position_embeddings": 64}  # fmt: skip
    toys.make(tmp_path / "toy", "llama", rope_parameters=rope)

    made = exports.make(tmp_path, "llama", "gguf", {"target_modules": ["q_proj"]})

    model = AutoModelForCausalLM.from_pretrained(made.base)
    plain = 1 / 10000.0 ** (torch.arange(0, 16, 2) / 16)
    divided = _tensors(made.folder / "model.gguf")["rope_freqs.weight"]
    torch.testing.assert_close(plain / divided, model.model.rotary_emb.inv_freq)
    assert divided.max() == 8


def test_a_byte_level_tokenizer_travels_with_its_merges_and_template(tmp_path: Path) -> None:
    base = toys.make(tmp_path / "toy", "llama")
    shutil.copy(toys.TOKENIZER / "chat_template.jinja", base)

    made = exports.make(tmp_path, "llama", "gguf", {"target_modules": ["q_proj"]})

    fields, written = _fields(made.folder / "model.gguf"), json.loads((base / "tokenizer.json").read_text())
    assert (fields["tokenizer.ggml.model"], fields["tokenizer.ggml.pre"]) == ("gpt2", "gpt-2")
    assert fields["tokenizer.ggml.tokens"] == AutoTokenizer.from_pretrained(made.base).convert_ids_to_tokens(
        [*range(2048)]
    )
    assert fields["tokenizer.ggml.merges"] == [" ".join(merge) for merge in written["model"]["merges"]]
    assert fields["tokenizer.ggml.token_type"][:3] == [TokenType.CONTROL, TokenType.CONTROL, TokenType.NORMAL]
    assert (fields["tokenizer.ggml.eos_token_id"], fields["tokenizer.ggml.add_bos_token"]) == (0, False)
    assert fields["tokenizer.chat_template"] == (base / "chat_template.jinja").read_text()
    modelfile = '''# ollama create mine -f Modelfile
FROM ./model.gguf
TEMPLATE """{{ if .Prompt }}{{ if .System }}{{ .System }}

{{ end }}### Instruction:
{{ .Prompt }}

### Response:
{{ end }}{{ .Response }}<|endoftext|>

"""
PARAMETER stop "<|endoftext|>"
PARAMETER stop "### Instruction:"
'''
    assert (made.folder / "Modelfile").read_text() == modelfile


PIECES = ["▁d", "ef", "def", "▁def", "re", "tu", "rn", "turn", "return", "▁return", "▁a", "▁▁", "▁▁▁▁"]


def _sentencepiece_like(base: Path, merges_of: Callable[[str, set[str]], list[tuple[str, str]]]) -> None:
    """Give a base a tokenizer as Llama 2's was made from SentencePiece's: a merge for each way to make a piece."""
    letters = sorted(set("▁".join(map(chr, range(33, 127)))))
    tokens = ["<unk>", "<s>", "</s>", *(f"<0x{byte:02X}>" for byte in range(256)), *letters, *PIECES]
    merges = [merge for piece in PIECES for merge in merges_of(piece, set(tokens))]
    vocabulary = {token: number for number, token in enumerate(tokens)}
    tokenizer = Tokenizer(models.BPE(vocabulary, merges, fuse_unk=True, byte_fallback=True))
    tokenizer.normalizer = normalizers.Sequence([normalizers.Prepend("▁"), normalizers.Replace(" ", "▁")])
    tokenizer.post_processor = processors.TemplateProcessing(single="<s> $A", special_tokens=[("<s>", 1)])
    tokenizer.add_special_tokens(["<unk>", "<s>", "</s>"])
    tokenizer.save(str(base / "tokenizer.json"))
    special = {"bos_token": "<s>", "eos_token": "</s>", "unk_token": "<unk>"}
    settings = {"tokenizer_class": "PreTrainedTokenizerFast"} | special
    (base / "tokenizer_config.json").write_text(json.dumps(settings))


def _every_way(piece: str, tokens: set[str]) -> list[tuple[str, str]]:
    ways = [(piece[:at], piece[at:]) for at in range(1, len(piece))]
    return [way for way in ways if tokens.issuperset(way)]


def test_a_tokenizer_with_bytes_to_fall_back_on_becomes_sentencepieces(tmp_path: Path) -> None:
    base = toys.make(tmp_path / "toy", "llama")
    _sentencepiece_like(base, _every_way)

    made = exports.make(tmp_path, "llama", "gguf", {"target_modules": ["q_proj"]})

    fields = _fields(made.folder / "model.gguf")
    tokens, types = fields["tokenizer.ggml.tokens"], fields["tokenizer.ggml.token_type"]
    scores = dict(zip(tokens, fields["tokenizer.ggml.scores"], strict=True))
    assert (fields["tokenizer.ggml.model"], len(tokens)) == ("llama", 2048)
    assert sorted(PIECES, key=lambda piece: -scores[piece]) == PIECES
    assert types[:4] == [TokenType.UNKNOWN, TokenType.CONTROL, TokenType.CONTROL, TokenType.BYTE]
    assert (tokens[-1], types[-1]) == ("[PAD2047]", TokenType.UNUSED)
    assert (fields["tokenizer.ggml.add_bos_token"], fields["tokenizer.ggml.add_space_prefix"]) == (True, True)


def test_a_tokenizer_that_llama_cpp_would_not_follow_is_refused(tmp_path: Path) -> None:
    base = toys.make(tmp_path / "toy", "llama")
    _sentencepiece_like(base, lambda piece, tokens: _every_way(piece, tokens)[:1])

    with pytest.raises(ServiceError, match="it leaves tokens apart that SentencePiece would join"):
        exports.make(tmp_path, "llama", "gguf", {"target_modules": ["q_proj"]})

    written = json.loads((toys.TOKENIZER / "tokenizer.json").read_text())
    written["pre_tokenizer"] = {"type": "Whitespace"}
    (base / "tokenizer.json").write_text(json.dumps(written))
    with pytest.raises(ServiceError, match="it does not work on bytes as GPT-2's does"):
        exports.make(tmp_path, "llama", "gguf", {"target_modules": ["q_proj"]})
