"""Rows that say the same, found by 8 bytes of each: of a million rows, two others are taken for equal once in 10^7."""

from array import array
from bisect import bisect_right

import numpy as np
from numpy.typing import NDArray

from runtime.messages.rows import Line
from state.rows import row as rows
from state.rows.row import Row

Digests = NDArray[np.uint64]
NONE = 0  # in the place of a prompt's digest, of a row that asks nothing


class Told:
    """The digests of rows as they come, and where the rows stand: 32 bytes a row."""

    def __init__(self) -> None:
        self._rows, self._prompts = array("Q"), array("Q")
        self._lines, self._numbers = array("Q"), array("Q")
        self._files: list[str] = []
        self._begins: list[int] = []

    def add(self, line: Line, row: Row) -> None:
        if not self._files or self._files[-1] != line.file:
            self._files.append(line.file)
            self._begins.append(len(self._rows))
        self._rows.append(_number(rows.digest(row)))
        self._prompts.append(_number(rows.prompt_digest(row)))
        self._lines.append(line.line)
        self._numbers.append(line.row)

    def __len__(self) -> int:
        return len(self._rows)

    @property
    def rows(self) -> Digests:
        return np.frombuffer(self._rows, dtype=np.uint64)

    @property
    def prompts(self) -> Digests:
        return np.frombuffer(self._prompts, dtype=np.uint64)

    def line(self, index: int) -> Line:
        file = self._files[bisect_right(self._begins, index) - 1]
        return Line(file=file, line=self._lines[index], row=self._numbers[index])


def repeated(digests: Digests) -> tuple[NDArray[np.intp], NDArray[np.intp]]:
    """The indices of those that were there before, in order, and of each the first that was equal."""
    order = np.argsort(digests, kind="stable")  # of equal ones, the first comes first
    is_first = np.ones(len(order), dtype=bool)
    is_first[1:] = digests[order][1:] != digests[order][:-1]
    firsts = order[np.maximum.accumulate(np.where(is_first, np.arange(len(order)), 0))]
    again, first = order[~is_first], firsts[~is_first]
    by_place = np.argsort(again)
    return again[by_place], first[by_place]


def met(these: Digests, those: Digests) -> tuple[NDArray[np.intp], NDArray[np.intp]]:
    """The indices of those of `these` that are among `those`, in order, and of each the first equal one's there."""
    if not len(those):
        return np.empty(0, dtype=np.intp), np.empty(0, dtype=np.intp)
    order = np.argsort(those, kind="stable")
    at = np.minimum(np.searchsorted(those[order], these), len(those) - 1)
    is_met = (those[order][at] == these) & (these != NONE)
    return np.flatnonzero(is_met), order[at[is_met]]


def _number(digest: bytes | None) -> int:
    return NONE if digest is None else int.from_bytes(digest, "little")
