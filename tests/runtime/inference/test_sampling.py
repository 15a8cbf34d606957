"""From logits to a token, whatever the logits."""

import math
from typing import Any

import pytest
import torch
from transformers.generation.logits_process import (
    MinPLogitsWarper,
    RepetitionPenaltyLogitsProcessor,
    TemperatureLogitsWarper,
    TopKLogitsWarper,
    TopPLogitsWarper,
)

from runtime.inference.sampling import GREEDY_BELOW, Sampler, logprobs
from runtime.messages.inference import SamplingParameters, TextDelta, decode_reply, line
from state.errors import ServiceError

CPU = torch.device("cpu")


@pytest.fixture
def drawn(monkeypatch: pytest.MonkeyPatch) -> list[dict[int, float]]:
    """The probabilities of each draw, by token."""
    found: list[dict[int, float]] = []
    own = Sampler._left

    def noted(self: Sampler, probabilities_V: torch.Tensor) -> Any:
        left, tokens = own(self, probabilities_V)
        numbers = range(len(left)) if tokens is None else tokens.tolist()
        shares = (left / left.sum()).tolist()
        found.append({token: share for token, share in zip(numbers, shares, strict=True) if share > 0})
        return left, tokens

    monkeypatch.setattr(Sampler, "_left", noted)
    return found


@pytest.mark.parametrize("temperature", [GREEDY_BELOW, 1e-3, 1.0, 2.0])
@pytest.mark.parametrize("scale", [1e-30, 1.0, 1e30, 4e33, 3e38])
@pytest.mark.parametrize(
    "settings",
    [
        {},
        {"top_p": 0.0},
        {"presence_penalty": 2.0, "frequency_penalty": 2.0},
        {"top_k": 3, "min_p": 0.5, "logit_bias": {99: 1.0}},
        {"repetition_penalty": 0.1},
    ],
)
def test_any_finite_logits_have_a_token(temperature: float, scale: float, settings: dict[str, Any]) -> None:
    sampler = Sampler(SamplingParameters(temperature=temperature, seed=1, **settings), CPU)
    logits_V = scale * torch.linspace(-1, 1, 100)
    logits_V[:50] = -math.inf  # masked

    tokens = [sampler.choose(logits_V) for _ in range(5)]

    assert all(50 <= token < 100 for token in tokens)
    if scale >= 1e30:
        assert tokens == [99] * 5


@pytest.mark.parametrize(
    "settings",
    [
        {"top_k": 5, "top_p": 0.7, "min_p": 0.2},
        {"top_k": 1000, "temperature": 0.5},
        {"top_k": -1, "min_p": 0.3, "temperature": 2.0},
        {"repetition_penalty": 1.7, "top_k": 10},
        {"repetition_penalty": 0.4, "logit_bias": {3: 2.5, 40: -100.0}},
        {"top_p": 0.9},  # some hundreds of 6,000 tokens
        {"top_p": 0.9, "temperature": 4.0},  # some thousands
        {"top_p": 0.99, "temperature": 9.0},  # nearly all
    ],
)
def test_tokens_are_drawn_with_the_probabilities_that_transformers_gives_them(
    settings: dict[str, Any], drawn: list[dict[int, float]]
) -> None:
    parameters = SamplingParameters(**{"temperature": 1.0, "seed": 1} | settings)
    prompt, logits_V = [7, 3, 7], torch.randn(6000, generator=torch.Generator().manual_seed(3)) * 3
    sampler = Sampler(parameters, CPU, prompt)

    chosen = [sampler.choose(logits_V) for _ in range(4)]

    for number, found in enumerate(drawn):
        expected = _by_transformers(parameters, logits_V, [*prompt, *chosen[:number]])
        assert found == pytest.approx(expected, rel=1e-4)
    assert len(drawn) == 4


def test_tokens_come_as_often_as_their_probabilities_say() -> None:
    shares = torch.tensor([0.4, 0.0, 0.3, 0.2, 0.1])
    sampler = Sampler(SamplingParameters(temperature=1.0, seed=5), CPU)

    found = torch.bincount(torch.tensor([sampler.choose(shares.log()) for _ in range(2000)]), minlength=5) / 2000

    assert found[1] == 0
    assert found.tolist() == pytest.approx(shares.tolist(), abs=4 * 0.011)  # four standard deviations


def _by_transformers(parameters: SamplingParameters, logits_V: torch.Tensor, seen: list[int]) -> dict[int, float]:
    steps: list[Any] = [
        RepetitionPenaltyLogitsProcessor(parameters.repetition_penalty),
        TemperatureLogitsWarper(parameters.temperature),
        *([TopKLogitsWarper(parameters.top_k)] if parameters.top_k > 0 else []),
        *([TopPLogitsWarper(parameters.top_p)] if parameters.top_p < 1 else []),
        MinPLogitsWarper(parameters.min_p),
    ]
    scores_1V = logits_V[None].clone()
    for token, bias in parameters.logit_bias.items():
        scores_1V[0, token] += bias
    for step in steps:
        scores_1V = step(torch.tensor([seen]), scores_1V)
    return {token: value for token, value in enumerate(scores_1V.softmax(-1)[0].tolist()) if value > 0}


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
@pytest.mark.parametrize("temperature", [0.0, 1.0])
@pytest.mark.parametrize("spoiled", [{3: math.nan}, {3: math.inf}, dict.fromkeys(range(10), -math.inf)])
def test_logits_that_nothing_can_be_chosen_from_are_refused(
    spoiled: dict[int, float], temperature: float, dtype: torch.dtype
) -> None:
    logits_V = torch.zeros(10, dtype=dtype)
    for token, logit in spoiled.items():
        logits_V[token] = logit

    with pytest.raises(ServiceError, match="computed NaN or infinity after 0 new tokens"):
        Sampler(SamplingParameters(temperature=temperature), CPU).choose(logits_V)


def test_the_log_probabilities_of_masked_tokens_reach_the_server() -> None:
    logits_V = torch.full((10,), -math.inf)
    logits_V[3], logits_V[4] = math.log(3), 0.0

    found = logprobs(logits_V, 3, 5, 0, str)

    assert [other.token for other in found.top] == ["3", "4"]
    assert [other.logprob for other in found.top] == pytest.approx([math.log(0.75), math.log(0.25)])
    delta = TextDelta(1, "", [found])
    assert decode_reply(line(delta)) == delta
