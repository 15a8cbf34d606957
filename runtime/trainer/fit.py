"""From what a run needs and the memory there is to how its steps are computed. Pure; sizes are in bytes.

A step is computed in rows of whole documents. One row is fastest; a shorter row costs one more dequantization of the
base, gradient checkpointing one more forward pass. So rows are shortened first, down to SHORT_ROW, and only then are
layers computed twice; on an accelerator the layers' inputs may at last wait in the machine's memory. None of it changes
what is computed: a step's loss is a sum over its documents, whatever their rows.
"""

from collections.abc import Iterable, Iterator, Sized
from typing import Literal, TypeVar

from msgspec import Struct

from runtime.model.device import Setup
from runtime.model.failures import DoesNotFit

MB = 2**20
SHORT_ROW = 512  # tokens; below it dequantizing costs more than a second forward pass

GradientCheckpointing = Literal["none", "layers", "layers, offloaded"]
Document = TypeVar("Document", bound=Sized)


class Needs(Struct, frozen=True, kw_only=True):
    """`fixed` is there whatever a row's length; the loss takes `a_token_in_the_head` for each token, `head` at most.

    `a_token` is what all layers keep for the backward pass, `a_token_checkpointed` what they keep when they are to be
    computed twice, `a_token_in_a_layer` what a single layer keeps; a layer's gradients take about as much again.
    """

    fixed: int
    a_token: int
    a_token_checkpointed: int
    a_token_in_a_layer: int
    a_token_in_the_head: int
    head: int

    def row(self, tokens: int, way: GradientCheckpointing) -> int:
        """The peak while a row of so many tokens is computed."""
        return self.fixed + tokens * self._a_token(way) + min(tokens * self.a_token_in_the_head, self.head)

    def longest_row(self, memory: int, way: GradientCheckpointing) -> int:
        """The tokens that a row may have; 0 or less when even the fixed part is too much."""
        left = memory - self.fixed
        a_token = self._a_token(way)
        return max((left - self.head) // a_token, min(left, self.head) // (a_token + self.a_token_in_the_head))

    def _a_token(self, way: GradientCheckpointing) -> int:
        kept = {
            "none": self.a_token,
            "layers": self.a_token_checkpointed + self.a_token_in_a_layer,
            "layers, offloaded": self.a_token_in_a_layer,
        }
        return kept[way] + self.a_token_in_a_layer


class Fit(Struct, frozen=True):
    """How steps are computed: in rows of at most `row_tokens`, unless a document is longer."""

    gradient_checkpointing: GradientCheckpointing
    row_tokens: int


def fit(  # noqa: PLR0913  what a run is
    needs: Needs, memory: int, longest: int, step: int, setup: Setup, *, are_pairs: bool = False
) -> Fit:
    """For documents, or pairs of them, of at most `longest` tokens, and steps of about `step` tokens.

    Raises DoesNotFit, with the numbers and the longest document that would fit, when nothing fits.
    """
    whole = min(step, max(longest, setup.row_tokens))
    candidates = _candidates(longest, whole, setup)
    for way, shortest_row in candidates:
        fitting = needs.longest_row(memory, way)
        if fitting >= shortest_row:
            return Fit(way, min(whole, fitting))
    leanest, _ = candidates[-1]
    most = needs.longest_row(memory, leanest) // (2 if are_pairs else 1)
    what = "pair of documents" if are_pairs else "document"
    raise DoesNotFit(
        f"This job does not fit: a {what} of {longest} tokens takes {needs.row(longest, leanest) / MB:.0f} MB, "
        f"{needs.fixed / MB:.0f} of them for the model, and there are {memory / MB:.0f}. "
        + (
            f"It fits with a training_config.max_seq_length of at most {most}"
            if most >= 2
            else "No max_seq_length is short enough: free some memory, or train a smaller model"
        ),
        most if most >= 2 else None,
    )


def _candidates(longest: int, whole: int, setup: Setup) -> list[tuple[GradientCheckpointing, int]]:
    """From the fastest way to the leanest, each with the shortest row for which it is worth taking."""
    candidates: list[tuple[GradientCheckpointing, int]] = [
        ("none", min(whole, max(longest, SHORT_ROW))),
        ("layers", longest),
    ]
    if setup.may_offload:
        candidates.append(("layers, offloaded", longest))
    return candidates


def rows(documents: Iterable[Document], row_tokens: int) -> Iterator[list[Document]]:
    """Documents in their order, in rows of at most so many tokens; a document that is longer has a row of its own.

    >>> list(rows([[1, 2], [3, 4, 5], [6, 7]], 5))
    [[[1, 2], [3, 4, 5]], [[6, 7]]]
    """
    row: list[Document] = []
    tokens = 0
    for document in documents:
        if row and tokens + len(document) > row_tokens:
            yield row
            row, tokens = [], 0
        row.append(document)
        tokens += len(document)
    if row:
        yield row
