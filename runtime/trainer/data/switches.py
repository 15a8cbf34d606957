"""What the chat template was told of each row. An adapter is asked in one way: that of most rows."""

from itertools import chain

from msgspec import Struct

from runtime.messages.rows import Line
from runtime.trainer.data.findings import FIRST, Findings, place
from runtime.trainer.masks.results import Masked

Told = tuple[tuple[str, bool], ...]


class _Rows(Struct):
    count: int = 0
    first: list[Line] = []


class Switches:
    def __init__(self) -> None:
        self._rows: dict[Told, _Rows] = {}

    def add(self, line: Line, masked: Masked) -> None:
        """A conversation."""
        rows = self._rows.setdefault(tuple(masked.switches.items()), _Rows())
        rows.count += 1
        if len(rows.first) < FIRST:
            rows.first.append(line)

    @property
    def has_conversations(self) -> bool:
        return bool(self._rows)

    def of_most(self) -> Told:
        return max(self._rows, key=lambda told: self._rows[told].count, default=())

    def report_to(self, findings: Findings) -> None:
        others = {told: rows for told, rows in self._rows.items() if told != self.of_most()}
        places = chain.from_iterable(
            (place(line, value=_said(told)) for line in rows.first) for told, rows in others.items()
        )
        findings.add_all("switches_differ", sum(rows.count for rows in others.values()), places)


def _said(told: Told) -> str:
    """As a template would be told: `enable_thinking=true`."""
    return ", ".join(f"{name}={str(value).lower()}" for name, value in told)
