"""`python -m pretraining.train_tiny_python`: make the bundled base model, models/tiny-python, from nothing.

A Llama of 3.5 million parameters and a byte-level BPE tokenizer of 2,048 entries, trained on the Python standard
library of the running interpreter. Same interpreter, versions, machine and thread count: same model. The record of
the run that made the committed one is models/tiny-python/training.json.
"""

import argparse
import json
import logging
import math
import platform
import random
import shutil
import time
from collections.abc import Iterator
from pathlib import Path

import tokenizers
import torch
import transformers
from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers
from transformers import GenerationConfig, LlamaConfig, LlamaForCausalLM, PreTrainedTokenizerFast

from pretraining import corpus
from pretraining.corpus import Corpus

TARGET = Path(__file__).resolve().parent.parent / "models" / "tiny-python"
VOCABULARY = 2048
END, PAD = "<|endoftext|>", "<|pad|>"
CONTEXT = 512  # tokens of a training row; the model's positions reach to 2,048
BATCH = 16  # rows a step
PEAK_LEARNING_RATE = 3e-3
WARMUP_STEPS = 100
SEED = 5001
CHAT_TEMPLATE = (
    "{% for message in messages %}"
    "{% if message['role'] == 'user' %}{{ '### Instruction:\n' + message['content'] + '\n\n' }}"
    "{% elif message['role'] == 'assistant' %}"
    "{{ '### Response:\n' + message['content'] + eos_token + '\n\n' }}"
    "{% else %}{{ message['content'] + '\n\n' }}{% endif %}"
    "{% endfor %}"
    "{% if add_generation_prompt %}{{ '### Response:\n' }}{% endif %}"
)

log = logging.getLogger("pretraining")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--steps", type=int, default=1800, help="steps of 8,192 tokens (default: %(default)s)")
    steps = parser.parse_args().steps
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(message)s")
    random.seed(SEED)
    torch.manual_seed(SEED)
    text = corpus.read()
    tokenizer = train_tokenizer(text)
    training, held_out = pack(tokenizer, text.training), pack(tokenizer, text.held_out)
    log.info("%s training tokens, %s held out", training.numel(), held_out.numel())
    model = LlamaForCausalLM(architecture(tokenizer))
    started = time.monotonic()
    curve = train(model, training, held_out, steps)
    write(model, tokenizer, record(text, training, steps, curve, time.monotonic() - started))


def train_tokenizer(text: Corpus) -> PreTrainedTokenizerFast:
    """Byte-level BPE: every text survives encoding and decoding."""
    backend = Tokenizer(models.BPE())
    backend.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    backend.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=VOCABULARY,
        special_tokens=[END, PAD],
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False,
    )
    backend.train_from_iterator(text.training, trainer)
    return PreTrainedTokenizerFast(
        tokenizer_object=backend,
        eos_token=END,
        pad_token=PAD,
        chat_template=CHAT_TEMPLATE,
        clean_up_tokenization_spaces=False,
        model_max_length=2048,
    )


def architecture(tokenizer: PreTrainedTokenizerFast) -> LlamaConfig:
    """Every matrix is a multiple of 64 wide: NF4 quantizes blocks of 64."""
    return LlamaConfig(
        vocab_size=VOCABULARY,
        hidden_size=256,
        intermediate_size=704,
        num_hidden_layers=4,
        num_attention_heads=4,
        num_key_value_heads=2,
        max_position_embeddings=2048,
        tie_word_embeddings=True,
        bos_token_id=None,
        eos_token_id=tokenizer.eos_token_id,
        pad_token_id=tokenizer.pad_token_id,
    )


def pack(tokenizer: PreTrainedTokenizerFast, documents: list[str]) -> torch.Tensor:
    """All documents in one row of tokens, each closed by the end token, in a shuffled order."""
    shuffled = list(documents)
    random.Random(SEED).shuffle(shuffled)  # noqa: S311  an order, not a secret
    encoded = tokenizer(shuffled)["input_ids"]
    return torch.tensor([token for ids in encoded for token in (*ids, tokenizer.eos_token_id)])


def train(
    model: LlamaForCausalLM, training: torch.Tensor, held_out: torch.Tensor, steps: int
) -> list[dict[str, float]]:
    """AdamW, linear warm-up, cosine to a tenth. Returns the curve, a point every 50 steps."""
    optimizer = torch.optim.AdamW(model.parameters(), lr=PEAK_LEARNING_RATE, betas=(0.9, 0.95), weight_decay=0.1)
    schedule = torch.optim.lr_scheduler.LambdaLR(optimizer, lambda step: learning_rate_share(step, steps))
    batches = rows(training)
    curve: list[dict[str, float]] = []
    recent: list[float] = []
    started = time.monotonic()
    for step in range(1, steps + 1):
        batch_BT = next(batches)
        with torch.autocast("cpu", dtype=torch.bfloat16):
            loss = model(input_ids=batch_BT, labels=batch_BT).loss
        loss.backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()
        schedule.step()
        optimizer.zero_grad()
        recent.append(loss.item())
        if step % 50 == 0 or step == steps:
            point = {"step": step, "loss": round(sum(recent) / len(recent), 4)}
            if step % 250 == 0 or step == steps:
                point["held_out_loss"] = round(evaluate(model, held_out), 4)
            curve.append(point)
            recent.clear()
            log.info("%s  %.0f tokens/s", point, step * BATCH * CONTEXT / (time.monotonic() - started))
    return curve


def learning_rate_share(step: int, steps: int) -> float:
    if step < WARMUP_STEPS:
        return (step + 1) / WARMUP_STEPS
    done = (step - WARMUP_STEPS) / max(1, steps - WARMUP_STEPS)
    return 0.1 + 0.45 * (1 + math.cos(math.pi * done))


def rows(tokens: torch.Tensor) -> Iterator[torch.Tensor]:
    """Batches [BATCH, CONTEXT] for ever; each pass cuts the row at another offset and takes another order."""
    generator = torch.Generator().manual_seed(SEED)
    while True:
        offset = int(torch.randint(CONTEXT, (1,), generator=generator))
        whole = (len(tokens) - offset) // CONTEXT
        cut = tokens[offset : offset + whole * CONTEXT].view(whole, CONTEXT)
        order = torch.randperm(whole, generator=generator)
        for first in range(0, whole - BATCH + 1, BATCH):
            yield cut[order[first : first + BATCH]]


@torch.no_grad()
def evaluate(model: LlamaForCausalLM, held_out: torch.Tensor) -> float:
    whole = min(len(held_out) // CONTEXT, 64)
    losses: list[float] = []
    for row in held_out[: whole * CONTEXT].view(whole, CONTEXT).split(BATCH):
        with torch.autocast("cpu", dtype=torch.bfloat16):
            losses.append(model(input_ids=row, labels=row).loss.item())
    return sum(losses) / len(losses)


def record(
    text: Corpus, training: torch.Tensor, steps: int, curve: list[dict[str, float]], elapsed_s: float
) -> dict[str, object]:
    return {
        "corpus": {
            "what": "sources of the Python standard library, without its tests, and instructions made from them",
            "python_version": text.python_version,
            "num_files": text.num_files,
            "num_bytes": text.num_bytes,
            "sha256": text.sha256,
            "training_tokens": training.numel(),
        },
        "settings": {
            "steps": steps,
            "tokens_per_step": BATCH * CONTEXT,
            "context": CONTEXT,
            "peak_learning_rate": PEAK_LEARNING_RATE,
            "warmup_steps": WARMUP_STEPS,
            "optimizer": "AdamW, betas 0.9 and 0.95, weight decay 0.1, gradients clipped at norm 1",
            "precision": "bf16 autocast, float32 weights, saved in bf16",
            "seed": SEED,
            "threads": torch.get_num_threads(),
        },
        "versions": {
            "torch": torch.__version__,
            "transformers": transformers.__version__,
            "tokenizers": tokenizers.__version__,
            "machine": platform.machine(),
        },
        "minutes": round(elapsed_s / 60, 1),
        "curve": curve,
    }


def write(model: LlamaForCausalLM, tokenizer: PreTrainedTokenizerFast, training_record: dict[str, object]) -> None:
    """Replace the model's folder; its README.md is written by hand and stays."""
    building = TARGET.with_name(".tiny-python.new")
    shutil.rmtree(building, ignore_errors=True)
    model.bfloat16()
    model.generation_config = GenerationConfig(eos_token_id=tokenizer.eos_token_id, pad_token_id=tokenizer.pad_token_id)
    model.save_pretrained(building)
    tokenizer.save_pretrained(building)
    (building / "training.json").write_text(json.dumps(training_record, indent=2) + "\n")
    readme = TARGET / "README.md"
    if readme.exists():
        shutil.copy2(readme, building)
    shutil.rmtree(TARGET, ignore_errors=True)
    building.rename(TARGET)


if __name__ == "__main__":
    main()
