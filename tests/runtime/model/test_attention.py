"""Attention that torch's kernel does not offer has the plain composition's values and gradients."""

import pytest
import torch

from runtime.model import attention
from runtime.model.attention import attended


def _plain(
    query: torch.Tensor, key: torch.Tensor, value: torch.Tensor, window: int | None, cap: float | None
) -> torch.Tensor:
    """All scores at once, as papers write it."""
    key, value = (part.repeat_interleave(2, dim=1) for part in (key, value))
    scores = query @ key.transpose(2, 3) / query.shape[-1] ** 0.5
    if cap is not None:
        scores = cap * torch.tanh(scores / cap)
    new, total = scores.shape[2:]
    distance = torch.arange(total - new, total)[:, None] - torch.arange(total)[None]
    seen = (distance >= 0) & (distance < (window or total))
    weights: torch.Tensor = scores.masked_fill(~seen, -torch.inf).softmax(-1)
    return weights @ value


@pytest.mark.parametrize("cap", [None, 0.5])
@pytest.mark.parametrize("window", [None, 5])
@pytest.mark.parametrize("new", [1, 4, 12])
def test_attention_of_the_last_tokens_equals_the_plain_composition(
    new: int, window: int | None, cap: float | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(attention, "QUERIES_AT_ONCE", 5)  # two blocks and a rest
    torch.manual_seed(0)
    query, key, value = (
        torch.randn(1, heads, length, 8, dtype=torch.float64, requires_grad=True)
        for heads, length in ((4, new), (2, 12), (2, 12))
    )

    ours, plain = attended(query, key, value, window=window, softcap=cap), _plain(query, key, value, window, cap)

    assert torch.allclose(ours, plain)
    weights = torch.randn_like(plain)
    for mine, expected in zip(
        torch.autograd.grad((ours * weights).sum(), (query, key, value)),
        torch.autograd.grad((plain * weights).sum(), (query, key, value)),
        strict=True,
    ):
        assert torch.allclose(mine, expected)
