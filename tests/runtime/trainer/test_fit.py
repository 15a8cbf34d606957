"""However much memory there is, a run takes the fastest way that fits, or is refused with what would fit."""

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from runtime.model.device import Facts, Setup, choose
from runtime.model.failures import DoesNotFit
from runtime.trainer.fit import MB, Fit, Needs, fit, rows
from state.errors import ServiceError

NEEDS = Needs(
    fixed=1000 * MB,
    a_token=10 * MB,
    a_token_checkpointed=MB,
    a_token_in_a_layer=MB,
    a_token_in_the_head=MB,
    head=100 * MB,
)
PLENTY = 10**6


def _setup(kind: Any = "cpu") -> Setup:
    return choose(Facts(kind=kind, name="a device", memory_mb=8000, supports_bf16=True))


def _fit(memory_mb: int, *, longest: int = 600, step: int = 2400, kind: Any = "cpu") -> Fit:
    return fit(NEEDS, memory_mb * MB, longest, step, _setup(kind))


def test_with_plenty_of_memory_nothing_is_computed_twice() -> None:
    assert _fit(PLENTY) == Fit("none", _setup().row_tokens)
    assert _fit(PLENTY, longest=50, step=200) == Fit("none", 200)
    assert _fit(PLENTY, kind="cuda") == Fit("none", 2400)


def test_with_less_memory_rows_are_shortened_before_layers_are_computed_twice() -> None:
    shortened = _fit(1000 + 100 + 11 * 700)

    assert shortened == Fit("none", 700)
    assert _fit(1000 + 100 + 11 * 500).gradient_checkpointing == "layers"


def test_a_gpu_moves_what_it_keeps_to_the_machine_at_last() -> None:
    tight = 1000 + 100 + 2 * 600

    assert _fit(tight, kind="cuda") == Fit("layers, offloaded", 600)
    with pytest.raises(ServiceError):
        _fit(tight)


def test_what_cannot_fit_is_refused_with_the_longest_example_that_would() -> None:
    with pytest.raises(DoesNotFit, match=r"takes 2900 MB, 1000 of them for the model, and there are 2000") as refused:
        _fit(2000)

    length = int(str(refused.value).rsplit(maxsplit=1)[1])
    assert refused.value.max_seq_length == length
    assert _fit(2000, longest=length).gradient_checkpointing == "layers"
    with pytest.raises(ServiceError):
        _fit(2000, longest=length + 1)


def test_a_model_that_is_too_large_by_itself_is_refused_so() -> None:
    with pytest.raises(DoesNotFit, match="No max_seq_length is short enough") as refused:
        _fit(900)

    assert refused.value.max_seq_length is None


@given(memory_mb=st.integers(1003, 50_000), longest=st.integers(2, 3000), examples=st.integers(1, 20))
def test_what_is_chosen_fits(memory_mb: int, longest: int, examples: int) -> None:
    try:
        fitted = _fit(memory_mb, longest=longest, step=longest * examples)
    except ServiceError:
        assert NEEDS.row(longest, "layers") > memory_mb * MB
        return

    assert fitted.row_tokens >= min(longest, longest * examples)
    assert NEEDS.row(fitted.row_tokens, fitted.gradient_checkpointing) <= memory_mb * MB


@given(lengths=st.lists(st.integers(1, 9), max_size=20), row_tokens=st.integers(1, 20))
def test_rows_hold_all_documents_in_their_order_and_no_more_tokens_than_they_may(
    lengths: list[int], row_tokens: int
) -> None:
    documents = [[number] * length for number, length in enumerate(lengths)]

    cut = list(rows(documents, row_tokens))

    assert [ids for row in cut for ids in row] == documents
    assert all(len(row) == 1 or sum(map(len, row)) <= row_tokens for row in cut)
