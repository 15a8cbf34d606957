"""Whether one model's scores are better than another's over the same rows, and how sure that is.

The scores of each row are compared as a pair, which takes out how hard the row is. The 95 % confidence interval of the
mean difference is that of Fisher's randomization test for matched pairs (The Design of Experiments, 1935, section 21):
the means of random subsets of the differences are typical values of their centre, of which 2.5 % are left out at each
end (J. A. Hartigan, Using subsample values as typical values, JASA 64, 1969).

Where models do not differ, one in twenty verdicts at most says that they do, for any scores and any number of rows;
with scores of 0 and 1 it is McNemar's exact test. Fewer than 6 rows can decide nothing.
"""

import random
from collections.abc import Iterator, Sequence
from itertools import combinations, compress
from typing import Literal

from msgspec import Struct

FEWEST = 6
SHARE = 0.025  # left out at each end
EXACT_UP_TO = 13  # rows: all subsets, 8,191 of them
SUBSETS = 9_999  # of more rows
_PARTS = 10**9  # scores are summed as integers: a difference that is nothing shall be nothing
_ODD = bytes(number & 1 for number in range(256))


class Comparison(Struct, frozen=True):
    """`low` and `high` are None where there are too few rows."""

    verdict: Literal["better", "worse", "cannot tell"]
    difference: float
    low: float | None
    high: float | None
    num_rows: int
    num_different: int
    """Rows whose scores differ."""


def compare(pairs: Sequence[tuple[float, float]]) -> Comparison:
    """Each pair has a row's two scores. It takes half a second for 1,000 rows."""
    differences = [round((own - other) * _PARTS) for own, other in pairs]
    mean = sum(differences) / len(differences) / _PARTS if differences else 0.0
    different = sum(map(bool, differences))
    if len(differences) < FEWEST:
        return Comparison("cannot tell", mean, None, None, len(differences), different)
    means = sorted(_subset_means(differences))
    left_out = int((len(means) + 1) * SHARE)
    low, high = means[left_out - 1], means[-left_out]
    verdict: Literal["better", "worse", "cannot tell"] = "better" if low > 0 else "worse" if high < 0 else "cannot tell"
    return Comparison(verdict, mean, low / _PARTS, high / _PARTS, len(differences), different)


def _subset_means(values: Sequence[int]) -> Iterator[float]:
    """The means of all subsets but the empty one, or of random ones, the same each time."""
    count = len(values)
    if count <= EXACT_UP_TO:
        for size in range(1, count + 1):
            yield from (sum(chosen) / size for chosen in combinations(values, size))
        return
    drawing = random.Random(count)  # noqa: S311  no secret
    for _ in range(SUBSETS):
        chosen = drawing.randbytes(count).translate(_ODD)
        if size := chosen.count(1):
            yield sum(compress(values, chosen)) / size
