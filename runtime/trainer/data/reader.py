"""Rows as a model's trainer would read them, with what that takes of the model: not its weights, and no torch."""

from collections.abc import Iterable, Iterator
from datetime import datetime
from pathlib import Path

from msgspec import Struct

from runtime.messages.rows import Line, Subject
from runtime.model import tokenizers
from runtime.model.chat import ChatTemplate
from runtime.model.tokenizers import BaseTokenizer
from runtime.trainer.masks.masker import Masker, batches
from runtime.trainer.masks.results import Masked, Refused
from state import clock, models
from state.config import Learn
from state.errors import ServiceError
from state.root import DataRoot
from state.row_source import RowSource
from state.rows.problems import Problem
from state.rows.reading import Numbered, Reading
from state.rows.row import Row


class ReadRow(Struct, frozen=True):
    """A row and what a trainer makes of it; without a row where the file's own cannot be used."""

    line: Line
    row: Row | None
    outcome: Masked | Refused | Problem


class Reader(Struct, frozen=True):
    base: BaseTokenizer
    template: ChatTemplate
    today: datetime
    learn: Learn | None

    @classmethod
    def of(cls, subject: Subject) -> "Reader":
        """Raises ServiceError for a model that is not there, or whose tokenizer or template is of no use."""
        source = models.find(DataRoot.at(Path(subject.root)), subject.model_name).load_from
        base, today = tokenizers.load(source), clock.now()
        return cls(base, ChatTemplate(base.tokenizer, now=lambda: today), today, subject.learn)

    def read(self, rows: Iterable[Numbered | Problem]) -> Iterator[ReadRow]:
        """In the rows' order, a few hundred of them in memory."""
        masker = Masker(self.base.tokenizer, self.template, self.base.served, self.learn)
        for batch in batches(rows):
            masks = iter(masker.masks([each.row for each in batch if isinstance(each, Numbered)]))
            yield from (_read(each, masks) for each in batch)


def reading(source: RowSource) -> Reading:
    """One pass over a data set's folder, which goes on behind rows that cannot be used."""
    return Reading(Path(source.path or ""), columns=source.columns, skip_invalid=True)


def every(rows: Reading) -> Iterator[Numbered | Problem]:
    """All rows, also where none of them can be used. Raises ServiceError for a file that cannot be read."""
    try:
        yield from rows.every()
    except ServiceError:
        if not rows.report.total:
            raise


def _read(found: Numbered | Problem, masks: Iterator[Masked | Refused]) -> ReadRow:
    if isinstance(found, Numbered):
        return ReadRow(Line(file=found.file, line=found.line, row=found.number), found.row, next(masks))
    return ReadRow(Line(file=found.file, line=found.line, row=found.row), None, found)
