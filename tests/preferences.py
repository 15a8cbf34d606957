"""Pairs of answers by tiny-python, in float32 and with an adapter that does something, as tests compute them."""

import json
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import torch
from peft import PeftModel
from transformers import AutoModelForCausalLM

from runtime.model.chat import ChatTemplate
from runtime.model.tokenizers import load_tokenizer
from runtime.trainer import lora
from runtime.trainer.loss import packed
from runtime.trainer.preferences import reference
from runtime.trainer.preferences.figures import Figures
from runtime.trainer.preferences.learning import Preferences
from runtime.trainer.preferences.pairs import Pairs
from runtime.trainer.preferences.reference import By
from runtime.trainer.tokenizing import Tokenized, Tokenizer
from state.config import LoraConfig, LossType
from state.row_source import RowSource
from tests.server import CHECKOUT

TINY = CHECKOUT / "models" / "tiny-python"
BETA = 0.1


def chat(question: str, chosen: str, rejected: str) -> dict[str, Any]:
    sides = {"chosen": chosen, "rejected": rejected}
    answers = {name: [{"role": "assistant", "content": answer}] for name, answer in sides.items()}
    return {"prompt": [{"role": "user", "content": question}], **answers}


ROWS = [
    chat("Add two numbers", "def add(a, b):\n    return a + b", "def add(a, b):\n    return a - b  # wrong"),
    chat("Say hi", "print('hi')", "no"),
    chat(
        "Double a number\nand be brief", "def double(n):\n    return 2 * n", "import sys\n\n\nclass Double:\n    pass"
    ),
]


def write(file: Path, *rows: dict[str, Any]) -> RowSource:
    file.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return RowSource(file.name, str(file))


def tokenizer(**changes: Any) -> Tokenizer:
    """tiny-python's, as a job has it."""
    own = load_tokenizer(str(TINY))
    settings: dict[str, Any] = {"max_seq_length": 100, "learn": None, "on_too_long": None, "skip_invalid": False}
    return Tokenizer(
        tokenizer=own,
        template=ChatTemplate(own),
        served=frozenset({own.eos_token_id}),
        now=datetime(2026, 1, 1, tzinfo=UTC),
        **settings | {"method": "dpo"} | changes,
    )


def tokenized(folder: Path, *rows: dict[str, Any], **changes: Any) -> Tokenized:
    return tokenizer(**changes).tokenize(write(folder / "rows.jsonl", *rows), folder / "tokens" / "train")


def adapted() -> PeftModel:
    """tiny-python, not quantized, with the same adapter each time."""
    base = AutoModelForCausalLM.from_pretrained(TINY, dtype=torch.float32)
    config = LoraConfig(r=8, lora_alpha=16, lora_dropout=0.0, target_modules=["q_proj", "v_proj"])
    model = lora.attach(base, config, "tiny-python", "tiny-python")
    numbers = torch.Generator().manual_seed(5)
    with torch.no_grad():
        for parameter in lora.trainable(model).values():
            parameter.normal_(std=0.1, generator=numbers)
    return model


def preferences(model: PeftModel, rows: Tokenized, loss_type: LossType = "sigmoid") -> Preferences:
    summed_loss = packed(model, "cpu")
    given_D = reference.log_probabilities(model, summed_loss, rows.rows, computed_by=By(base="tiny"), row_tokens=1024)
    return Preferences(Pairs(rows.rows, given_D), None, summed_loss, loss_type, BETA)


def step(model: PeftModel, learned: Preferences, row_tokens: int = 1024) -> tuple[Figures, float]:
    """The figures of one step over all pairs, and its gradient's norm."""
    model.zero_grad(set_to_none=True)
    figures = learned.backward(range(len(learned.train)), row_tokens)
    gradients = [parameter.grad for parameter in lora.trainable(model).values() if parameter.grad is not None]
    return figures, float(torch.cat([gradient.flatten() for gradient in gradients]).norm())


def named(figures: Figures, grad_norm: float) -> dict[str, float]:
    """By TRL's names."""
    logged = {f"{name.split('_')[0]}/{name.split('_')[1]}": value for name, value in figures.of_training().items()}
    return {"loss": figures.mean("loss"), "grad_norm": grad_norm} | logged
