"""A faster way to compute a model, taken where a trial shows that it computes what the model itself does."""

import logging
from collections.abc import Callable
from typing import Any, TypeVar

import torch

from runtime.model import private

log = logging.getLogger(__name__)

Way = TypeVar("Way")


class Inexact(Exception):
    """The faster way does not compute what the model itself computes."""


UNSUITABLE = (Inexact, AttributeError, NotImplementedError, TypeError, ValueError)
"""What a model raises whose modules are not as the faster way expects them."""


def fast_or_plain(model: Any, what: str, *, fast: Callable[[], Way], plain: Callable[[], Way]) -> Way:  # noqa: ANN401
    """The fast way, which puts an attention of its own in the model's place, and is tried as it is made.

    Where that fails, the plain one with the model's attention as it was; the log says why, of `what`: "Documents".
    """
    own = private.attention_of(model.config)
    try:
        return fast()
    except UNSUITABLE as reason:
        log.info("%s are computed one at a time: %s", what, str(reason))  # a record that is kept would keep its frames
        model.set_attn_implementation(own)
        return plain()


def check_close(found: torch.Tensor, expected: torch.Tensor, tolerance: float) -> None:
    """Raise Inexact where the two differ by more than this share of their norm, or are not numbers."""
    distance, norm = float((found - expected).norm()), float(expected.norm())
    if not distance <= tolerance * norm:
        raise Inexact(f"tried, it differs from the model's own way by {distance:.4g} of {norm:.4g}")
