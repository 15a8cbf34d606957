"""The bundled base model is what its card says, and the script that made it still makes the like."""

import json

import pytest
import torch
from transformers import AutoModelForCausalLM, AutoTokenizer, LlamaForCausalLM

from pretraining import corpus, train_tiny_python
from tests.server import CHECKOUT

FOLDER = CHECKOUT / "models" / "tiny-python"


def test_it_is_small_enough_to_be_committed_and_its_training_is_recorded() -> None:
    record = json.loads((FOLDER / "training.json").read_text())

    assert sum(file.stat().st_size for file in FOLDER.iterdir()) <= 8_000_000
    assert record["curve"][-1]["step"] == record["settings"]["steps"]
    assert record["curve"][-1]["held_out_loss"] < 2.5


def test_its_tokenizer_keeps_every_text_and_its_template_makes_the_demos_prompts() -> None:
    tokenizer = AutoTokenizer.from_pretrained(FOLDER)
    text = "def f(x):\n\treturn 'ünï\u2028ço∂é' \\ 2  # \U0001f600\n"

    prompt = tokenizer.apply_chat_template(
        [{"role": "user", "content": "Add two numbers"}], add_generation_prompt=True, tokenize=False
    )

    assert tokenizer.decode(tokenizer(text)["input_ids"]) == text
    assert prompt == "### Instruction:\nAdd two numbers\n\n### Response:\n"


def test_nf4_quantizes_all_of_its_blocks() -> None:
    model = AutoModelForCausalLM.from_pretrained(FOLDER)

    for name, weight in model.model.layers.named_parameters():
        if weight.ndim == 2:
            assert all(size % 64 == 0 for size in weight.shape), name


def test_the_same_seed_makes_the_same_model(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(train_tiny_python, "BATCH", 2)
    monkeypatch.setattr(train_tiny_python, "CONTEXT", 128)
    text = corpus.Corpus(["def f():\n    return 1\n" * 40] * 20, [], 1, 1, "", "")
    tokenizer = train_tiny_python.train_tokenizer(text)
    tokens = train_tiny_python.pack(tokenizer, text.training)

    def make() -> torch.Tensor:
        torch.manual_seed(0)
        model = LlamaForCausalLM(train_tiny_python.architecture(tokenizer))
        train_tiny_python.train(model, tokens, tokens, steps=1)
        return torch.cat([weight.flatten() for weight in model.parameters()])

    assert torch.equal(make(), make())
