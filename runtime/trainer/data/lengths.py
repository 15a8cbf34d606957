"""How lengths are spread: percentiles, and a histogram whose borders are round numbers."""

from array import array

import numpy as np
from numpy.typing import NDArray

from runtime.messages.report import Histogram, Lengths

MOST_BUCKETS = 20


class Counted:
    """Lengths as they come, 4 bytes each."""

    def __init__(self) -> None:
        self._lengths = array("I")

    def add(self, length: int) -> None:
        self._lengths.append(length)

    def total(self) -> int:
        return sum(self._lengths)

    def __len__(self) -> int:
        return len(self._lengths)

    def spread(self) -> Lengths | None:
        """None where there is no length."""
        return spread(np.frombuffer(self._lengths, dtype=np.uint32)) if self._lengths else None


def spread(lengths: NDArray[np.uint32]) -> Lengths:
    """Percentiles by nearest rank, so that each is one of the lengths."""
    p50, p90, p99 = (int(at) for at in np.percentile(lengths, (50, 90, 99), method="inverted_cdf"))
    least, most = int(lengths.min()), int(lengths.max())
    return Lengths(
        mean=round(float(lengths.mean()), 1),
        min=least,
        p50=p50,
        p90=p90,
        p99=p99,
        max=most,
        histogram=_histogram(lengths, least, p99, most),
    )


def _histogram(lengths: NDArray[np.uint32], least: int, most_of_them: int, most: int) -> Histogram:
    """Buckets of one width up to the 99th percentile, and a last one for what is longer: a few rows are often so much
    longer than the others that these would all be in one bucket.
    """
    width = round_width(most_of_them - least + 1)
    begin, end = least // width * width, (most_of_them // width + 1) * width
    borders = list(range(begin, end + 1, width))
    if most >= end:
        borders.append(most + 1)
    counts, _ = np.histogram(lengths, bins=borders)
    return Histogram(borders, counts.tolist())


def round_width(span: int) -> int:
    """The width of at most 20 buckets for a span: 1, 2 or 5 times a power of ten.

    >>> [round_width(span) for span in (1, 20, 21, 95, 1000)]
    [1, 1, 2, 5, 50]
    """
    power = 1
    while True:
        for step in (1, 2, 5):
            if step * power * MOST_BUCKETS >= span:
                return step * power
        power *= 10
