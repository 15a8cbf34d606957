"""What the reference gives every answer: the base's own log-probabilities, computed once and kept."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from peft import PeftModel

from runtime.model import bases
from runtime.model.device import pick
from runtime.trainer import lora
from runtime.trainer.fused_lora import fuse
from runtime.trainer.loss import SummedLoss, choose, one_by_one, packed
from runtime.trainer.preferences import reference
from runtime.trainer.preferences.learning import without_dropout
from runtime.trainer.preferences.reference import By
from runtime.trainer.tokenizing import Tokenized
from state.config import LoraConfig
from state.errors import ServiceError
from tests import preferences

BY = By(base="tiny-python/1")


class Counted:
    """A model's loss that counts the rows that it is asked for, and can be interrupted."""

    def __init__(self, model: PeftModel, rows: int = 1_000_000) -> None:
        self.rows = 0
        self._left = rows
        self._own = packed(model, "cpu")
        self.loss = SummedLoss(self._of_each)

    def _of_each(self, documents: Any) -> torch.Tensor:
        if self.rows == self._left:
            raise KeyboardInterrupt
        self.rows += 1
        return self._own.of_each(documents)


@pytest.fixture(scope="module")
def model() -> PeftModel:
    return preferences.adapted()


@pytest.fixture
def rows(tmp_path: Path) -> Tokenized:
    return preferences.tokenized(tmp_path, *preferences.ROWS)


def _given(model: PeftModel, rows: Tokenized, counted: Counted, by: By = BY) -> list[float]:
    """In rows of one document each."""
    found_D = reference.log_probabilities(model, counted.loss, rows.rows, computed_by=by, row_tokens=1)
    return [float(value) for value in found_D]


def test_the_reference_is_the_base_though_the_adapter_does_something(model: PeftModel, rows: Tokenized) -> None:
    documents = [document for pair in rows.rows for document in pair]

    found = _given(model, rows, Counted(model))

    plain = one_by_one(model, "cpu")
    with torch.no_grad():
        assert found != pytest.approx((-plain.of_each(documents)).tolist(), rel=0.01)
    causal: Any = model.get_base_model()
    with torch.no_grad(), model.disable_adapter():
        assert found == pytest.approx((-one_by_one(causal, "cpu").of_each(documents)).tolist(), rel=1e-5)
    assert all(parameter.requires_grad for parameter in lora.trainable(model).values())
    assert len(lora.trainable(model)) > 0


@pytest.mark.parametrize("bias", ["none", "all"])
def test_a_fused_layer_in_nf4_has_its_adapter_off_too(tmp_path: Path, toy: Path, bias: Any) -> None:
    base = bases.load_base(str(toy), pick("float32"), tmp_path / "bases")
    document = preferences.tokenized(tmp_path, preferences.ROWS[0]).rows[0][0]
    with torch.no_grad():
        alone = one_by_one(base, "cpu")([document]).item()
    config = LoraConfig(lora_dropout=0.5, target_modules="all-linear", bias=bias)
    adapted = lora.attach(base, config, "toy", "toy")
    fuse(adapted)
    loss = choose(adapted, "cpu")
    with torch.no_grad():
        for name, parameter in lora.trainable(adapted).items():
            if "lora_" in name:
                parameter.normal_(std=0.5)

    with reference.reference_of(adapted):
        off = loss([document]).item()
    with_dropout = [loss([document]).item() for _ in range(2)]
    without_dropout(adapted)
    without = [loss([document]).item() for _ in range(2)]

    assert off == pytest.approx(alone, rel=1e-5)
    assert with_dropout[0] != with_dropout[1]
    assert without[0] == without[1] != pytest.approx(off, rel=1e-4)


def test_what_is_kept_is_not_computed_again_unless_the_base_is_another(model: PeftModel, rows: Tokenized) -> None:
    first, again, other = Counted(model), Counted(model), Counted(model)

    found = _given(model, rows, first)

    assert _given(model, rows, again) == found
    assert (first.rows, again.rows) == (6, 0)
    _given(model, rows, other, By(base="tiny-python/2"))
    assert other.rows == 6


def test_an_interrupted_reference_goes_on_where_it_was(model: PeftModel, rows: Tokenized) -> None:
    interrupted, rest = Counted(model, rows=4), Counted(model)

    with pytest.raises(KeyboardInterrupt):
        _given(model, rows, interrupted)
    kept = np.fromfile(rows.rows.folder / "reference.f32", dtype=np.float32)
    found = _given(model, rows, rest)

    assert (interrupted.rows, rest.rows) == (4, 2)
    assert np.isnan(kept).tolist() == [False] * 4 + [True] * 2
    assert found[:4] == kept[:4].tolist()
    (rows.rows.folder / "reference.json").unlink()
    assert found == _given(model, rows, Counted(model))


def test_other_tokens_have_no_old_reference(model: PeftModel, tmp_path: Path, rows: Tokenized) -> None:
    _given(model, rows, Counted(model))

    changed = preferences.tokenized(tmp_path, *reversed(preferences.ROWS))

    assert not (changed.rows.folder / "reference.f32").exists()


def test_a_base_that_gives_no_numbers_is_refused_by_the_row_s_line(model: PeftModel, rows: Tokenized) -> None:
    own = packed(model, "cpu")
    number = iter(range(6))
    broken = SummedLoss(lambda documents: own.of_each(documents) * (float("inf") if next(number) == 3 else 1))

    with pytest.raises(ServiceError, match="the answers of line 2 probabilities that are not numbers"):
        reference.log_probabilities(model, broken, rows.rows, computed_by=BY, row_tokens=1)
