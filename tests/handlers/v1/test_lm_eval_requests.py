"""The requests of lm-evaluation-harness 0.4.13 (`local-completions`), word for word, and how it reads the answers.

The log-likelihoods are those that transformers and PEFT compute with the same weights.
"""

from pathlib import Path
from typing import Any

import pytest
import torch
from peft import PeftModel
from transformers import AutoModelForCausalLM

from runtime.model.bases import quantization
from runtime.model.tokenizers import load_tokenizer
from tests.server import Server

PRECISION = 2e-2  # a token's, of bf16
CONTEXT = "Q: What is 2+3?\nA:"
CHOICES = (" 5", " six", " twenty-three and a half")


@pytest.fixture(scope="module")
def tokenizer(toy: Path) -> Any:
    return load_tokenizer(str(toy))


@pytest.fixture(scope="module")
def models(toy: Path, trained: Path) -> dict[str, Any]:
    """By the names that the server has for them."""
    setup: dict[str, Any] = {"quantization_config": quantization(torch.bfloat16), "dtype": torch.bfloat16}
    base: Any = AutoModelForCausalLM.from_pretrained(str(toy), **setup)
    below: Any = AutoModelForCausalLM.from_pretrained(str(toy), **setup)
    return {"toy": base.eval(), "trained": PeftModel.from_pretrained(below, str(trained)).eval()}


def ask(server: Server, **body: Any) -> dict[str, Any]:
    reply = server.http.post(f"http://localhost:{server.port}/v1/completions", json=body)
    assert reply.status_code == 200, reply.text
    return dict(reply.json())


def read(reply: dict[str, Any], context_lengths: list[int]) -> list[tuple[float, bool]]:
    """As the harness' parse_logprobs does: the generated token's entry is the last, and cut off."""
    found = []
    for choice, length in zip(sorted(reply["choices"], key=lambda one: one["index"]), context_lengths, strict=True):
        own = choice["logprobs"]["token_logprobs"][length:-1]
        top = choice["logprobs"]["top_logprobs"][length:-1]
        found.append((sum(own), all(one == max(likely.values()) for one, likely in zip(own, top, strict=True))))
    return found


@torch.inference_mode()
def computed(model: Any, context: list[int], continuation: list[int]) -> tuple[float, bool]:
    """The same of the model itself."""
    likely_TV = model(torch.tensor([context + continuation])).logits[0].float().log_softmax(-1)
    likely_TV = likely_TV[len(context) - 1 : -1]
    own_T = likely_TV.gather(1, torch.tensor(continuation)[:, None])[:, 0]
    return float(own_T.sum()), likely_TV.argmax(-1).tolist() == continuation


@torch.inference_mode()
def clearest(model: Any, context: list[int]) -> tuple[list[int], list[int]]:
    """The part of a context behind which one token is by far the most likely one, and that token."""
    first_T, second_T = model(torch.tensor([context])).logits[0].float().topk(2).values.T
    last = int((first_T - second_T).argmax())
    return context[: last + 1], [int(model(torch.tensor([context])).logits[0, last].argmax())]


def scoring(model: str, prompt: Any) -> dict[str, Any]:
    return {
        "model": model,
        "prompt": prompt,
        "temperature": 0,
        "max_tokens": 1,
        "logprobs": 1,
        "seed": 1234,
        "echo": True,
    }


@pytest.mark.parametrize("name", ["toy", "trained"])
def test_likelihoods_of_answers_are_those_of_the_model_itself(
    serving: Server, tokenizer: Any, models: dict[str, Any], name: str
) -> None:
    context = tokenizer(CONTEXT)["input_ids"]
    asked = [(context, tokenizer(text)["input_ids"]) for text in CHOICES] + [clearest(models[name], context)]

    reply = ask(serving, **scoring(name, [before + answer for before, answer in asked]))

    found = read(reply, [len(before) for before, _ in asked])
    for (likelihood, is_greedy), (before, answer) in zip(found, asked, strict=True):
        expected, expected_greedy = computed(models[name], before, answer)
        assert likelihood == pytest.approx(expected, abs=PRECISION * len(answer))
        assert is_greedy == expected_greedy
    assert [is_greedy for _, is_greedy in found] == [False, False, False, True]
    for choice, (before, answer) in zip(reply["choices"], asked, strict=True):
        length = len(before) + len(answer) + 1
        assert [len(choice["logprobs"][field]) for field in choice["logprobs"]] == [length] * 4
        assert choice["logprobs"]["token_logprobs"][0] is choice["logprobs"]["top_logprobs"][0] is None
        assert choice["text"].startswith(tokenizer.decode(before + answer))


@pytest.mark.parametrize("name", ["toy", "trained"])
def test_a_rolling_likelihood_begins_behind_the_token_that_ends_texts(
    serving: Server, tokenizer: Any, models: dict[str, Any], name: str
) -> None:
    text = tokenizer("def add(a, b):\n    return a + b\n")["input_ids"]
    prefix = [tokenizer.eos_token_id]

    [found] = read(ask(serving, **scoring(name, [prefix + text])), [1])

    assert found[0] == pytest.approx(computed(models[name], prefix, text)[0], abs=PRECISION * len(text))


def test_texts_are_scored_as_their_tokens(serving: Server, tokenizer: Any) -> None:
    """`tokenized_requests=False`."""
    texts = [CONTEXT + choice for choice in CHOICES]

    said = ask(serving, **scoring("trained", texts))
    counted = ask(serving, **scoring("trained", [tokenizer(text)["input_ids"] for text in texts]))

    assert said["choices"] == counted["choices"]
    assert ask(serving, **scoring("trained", texts[0]))["choices"] == said["choices"][:1]


def test_an_answer_is_generated_up_to_what_ends_it(serving: Server, tokenizer: Any) -> None:
    tokens = tokenizer(CONTEXT)["input_ids"]
    settings = {"max_tokens": 16, "temperature": 0.0, "stop": ["\n", "Q:", "<|endoftext|>"], "seed": 1234}

    of_tokens = ask(serving, prompt=[tokens], model="trained", **settings)
    of_text = ask(serving, prompt=[CONTEXT], model="trained", **settings)

    assert of_tokens["choices"] == of_text["choices"]
    assert "\n" not in of_tokens["choices"][0]["text"]
