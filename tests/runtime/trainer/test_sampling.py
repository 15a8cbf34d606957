"""Samples: the answers that the finished adapter gives when it is asked."""

from pathlib import Path
from typing import Any

import pytest
import torch
from peft import PeftModel
from transformers import AutoModelForCausalLM, AutoTokenizer

from runtime.inference.engine import Engine
from runtime.messages.inference import Message
from runtime.model import bases
from runtime.model.device import pick
from runtime.trainer import lora, memory, sampling
from runtime.trainer.fused_lora import fuse
from runtime.trainer.loss import PackedLoss, evaluating
from state import samples
from state.config import LoraConfig
from state.errors import ServiceError
from state.root import DataRoot
from tests import completing, jobs, toys

PROMPT = "### Instruction:\nDouble a number\n\n### Response:\n"
ANSWER = "def double(n):\n    return 2 * n"
CONVERSATION = [{"role": "system", "content": "Be short"}, {"role": "user", "content": "Add two numbers"}]


def test_the_last_samples_are_what_the_adapter_answers_when_it_is_served_and_outside_of_lathe(tmp_path: Path) -> None:
    (tmp_path / "models").mkdir()
    (tmp_path / "models" / "tiny-python").symlink_to(toys.TOKENIZER)
    folder = jobs.make(
        tmp_path,
        texts=[PROMPT + ANSWER, "### Instruction:\nAdd two numbers\n\n### Response:\ndef add(a, b):\n    return a + b"],
        model_name="tiny-python",
        sample_prompts=[PROMPT, CONVERSATION],
        sample_tokens=24,
        lora_config={"r": 16, "lora_alpha": 32, "target_modules": "all-linear"},
        training_config={"max_steps": 16, "learning_rate": 5e-3},
    )

    jobs.train_here(folder)

    *before, text, conversation = samples.read(folder.samples_file)
    engine = Engine(DataRoot.at(tmp_path).quantized_bases)
    messages = [Message(turn["role"], turn["content"]) for turn in CONVERSATION]
    served = [
        completing.complete(engine, toys.TOKENIZER, folder.adapter, prompt=prompt, max_new_tokens=24)
        for prompt in (PROMPT, messages)
    ]
    assert [(one.text, one.finish_reason) for one in served] == [
        (one.answer, one.finish_reason) for one in (text, conversation)
    ]
    assert (text.answer, text.finish_reason) == (ANSWER, "stop")
    assert _outside(toys.TOKENIZER, folder.adapter) == text.answer
    assert before[0].answer != text.answer


def _outside(base: Path, adapter: Path) -> str:
    """By transformers' own generation, on peft's own adapter."""
    setup = pick()
    loaded = AutoModelForCausalLM.from_pretrained(
        str(base), quantization_config=bases.quantization(setup.torch_dtype), dtype=setup.torch_dtype
    )
    tokenizer = AutoTokenizer.from_pretrained(str(base))
    asked = tokenizer(PROMPT, return_tensors="pt")
    found = PeftModel.from_pretrained(loaded, str(adapter)).eval().generate(**asked, max_new_tokens=24, do_sample=False)
    return str(tokenizer.decode(found[0, asked["input_ids"].shape[1] :], skip_special_tokens=True))


@pytest.mark.parametrize("architecture", toys.ARCHITECTURES)
def test_the_training_models_cache_gives_the_tokens_of_the_models_own_whole_passes(
    tmp_path: Path, architecture: str
) -> None:
    """Behind a prompt that is longer than the windows of those that have some, with layers that are computed twice."""
    toy = toys.make(tmp_path / "toy", architecture)
    base = bases.load_base(str(toy), pick("float32"), tmp_path / "bases")
    model = lora.attach(base, LoraConfig(lora_dropout=0.5, target_modules="all-linear"), "toy", "toy")
    torch.nn.init.normal_(next(value for name, value in lora.trainable(model).items() if "lora_B" in name), std=0.1)
    prompt = list(range(100, 150))
    expected = _whole_passes(model, prompt, 6)

    fuse(model)
    PackedLoss(model, "cpu")
    memory.enable_gradient_checkpointing(model, "layers")
    drawn = torch.get_rng_state()
    with evaluating(model):
        found = sampling.greedy_answer(model.get_base_model(), prompt, frozenset(), 6)
        ended = sampling.greedy_answer(model.get_base_model(), prompt, frozenset(expected[2:3]), 6)

    assert found == expected
    assert ended == expected[: expected.index(expected[2]) + 1]
    assert torch.equal(torch.get_rng_state(), drawn)


@torch.no_grad()
def _whole_passes(model: PeftModel, prompt: list[int], count: int) -> list[int]:
    tokens = list(prompt)
    with evaluating(model):
        for _ in range(count):
            tokens.append(int(model(input_ids=torch.tensor([tokens]), use_cache=False).logits[0, -1].argmax()))
    return tokens[len(prompt) :]


@pytest.mark.parametrize(
    ("prompt", "sentence"),
    [
        (
            "la " * 250,
            r"sample_prompts\[1\] has \d+ tokens and sample_tokens is 9: together \d+, but the model's",
        ),
        ([{"role": "user", "content": "x"}], r"sample_prompts\[1\]: The chat template does not take these"),
    ],
)
def test_a_prompt_that_serving_would_refuse_fails_the_job_before_its_first_step(
    root: Path, prompt: Any, sentence: str
) -> None:
    (root / "models" / "toy" / "chat_template.jinja").write_text("{{ raise_exception('no') }}")
    folder = jobs.make(root, sample_prompts=["fine", prompt], sample_tokens=9)

    with pytest.raises(ServiceError, match=sentence):
        jobs.train_here(folder)

    assert not folder.samples_file.exists()
