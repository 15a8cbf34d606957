"""One pass over a data set's rows, and what it says of them."""

from collections.abc import Iterable
from typing import Literal

from msgspec import Struct

from runtime.messages.report import Asking, Finding, Question, Report, Tokens
from runtime.messages.rows import Line
from runtime.trainer.data.answers import ShortAnswers
from runtime.trainer.data.findings import FIRST, REFUSED, UNUSABLE, Findings, place
from runtime.trainer.data.held_out import HeldOutRows
from runtime.trainer.data.lengths import Counted
from runtime.trainer.data.reader import Reader, ReadRow, every, reading
from runtime.trainer.data.repeats import Told, repeated
from runtime.trainer.data.switches import Switches
from runtime.trainer.data.too_long import LongRows
from runtime.trainer.masks.results import Masked, Refused
from state import config
from state.config import TrainingConfig
from state.errors import ServiceError
from state.rows.problems import Problem
from state.rows.row import Row, is_conversation


def examine(asked: Question) -> Report:
    """Raises ServiceError for a model or data that is of no use, and for a length that the model does not have."""
    rows, reader = reading(asked.rows), Reader.of(asked)
    examination = Examination(reader, _max_seq_length(asked.max_seq_length, reader.base.context_length))
    for row in reader.read(every(rows)):
        examination.take(row)
    held_out = HeldOutRows(asked.rows)
    report = rows.report
    return Report(
        dataset_name=asked.rows.name,
        model_name=asked.model_name,
        formats=list(dict.fromkeys(file.format for file in report.files if file.format)),
        row_kind=report.row_kind,
        num_rows=report.total,
        num_invalid=report.bad,
        num_refused=examination.num_refused,
        num_learned=len(examination.per_row.all),
        tokens=examination.tokens(),
        too_long=examination.long_rows.told(report.total),
        asked=examination.asking(),
        held_out=held_out.files,
        findings=examination.findings(held_out, report.total),
    )


class Lengths(Struct, frozen=True):
    """Of rows, or of sequences: how long they are, and how much of that is learned."""

    all: Counted
    learned: Counted

    def add(self, length: int, learned: int) -> None:
        self.all.add(length)
        self.learned.add(learned)


class Examination:
    """What the rows so far have shown. It grows by 60 bytes a row."""

    def __init__(self, reader: Reader, max_seq_length: int) -> None:
        self._reader = reader
        self._findings = Findings()
        self._told = Told()
        self._short_answers = ShortAnswers(reader.base.tokenizer, reader.base.served)
        self._switches = Switches()
        self._stop_tokens: set[int] = set()
        self.long_rows = LongRows(max_seq_length, reader.base.context_length)
        self.per_row = Lengths(Counted(), Counted())
        self.per_sequence = Lengths(Counted(), Counted())
        self.num_refused = 0

    def take(self, read: ReadRow) -> None:
        line, row, outcome = read.line, read.row, read.outcome
        if isinstance(outcome, Problem):
            self._findings.add(outcome.id, place(line, outcome.at, message=outcome.message), UNUSABLE)
            return
        if row is None:
            raise TypeError("a row that can be used is missing")
        self._told.add(line, row)
        if isinstance(outcome, Refused):
            self._refuse(line, row, outcome)
        else:
            self._learn(line, row, outcome)

    def _refuse(self, line: Line, row: Row, refused: Refused) -> None:
        if refused.is_single_token(row, self._reader.learn):
            self._findings.add("nothing_to_predict", place(line))  # no error: a job leaves it out by itself
            return
        self.num_refused += 1
        self._findings.add(refused.id, place(line, message=refused.message), REFUSED)

    def _learn(self, line: Line, row: Row, masked: Masked) -> None:
        for document in masked.sequences:
            self.per_sequence.add(len(document), document.num_targets)
        self.per_row.add(sum(map(len, masked.sequences)), sum(document.num_targets for document in masked.sequences))
        self.long_rows.add(line, row, masked.sequences)
        self._stop_tokens |= masked.stop_tokens
        if is_conversation(row):
            self._switches.add(line, masked)
        for note in {note.id: note for note in reversed(masked.notes)}.values():  # of each id, a row's first
            self._findings.add(note.id, place(line, note.at, note.value))
        answer = self._short_answers.first(masked)
        if answer is not None:
            self._findings.add("near_empty_answer", place(line, value=answer))

    def tokens(self) -> Tokens:
        return Tokens(
            total=self.per_row.all.total(),
            learned=self.per_row.learned.total(),
            num_sequences=len(self.per_sequence.all),
            per_row=self.per_row.all.spread(),
            learned_per_row=self.per_row.learned.spread(),
            per_sequence=self.per_sequence.all.spread(),
            learned_per_sequence=self.per_sequence.learned.spread(),
        )

    def asking(self) -> Asking:
        has_conversations = self._switches.has_conversations
        own: Literal["model", "default"] = "model" if self._reader.template.is_models_own else "default"
        writes_date = has_conversations and self._reader.template.writes_date
        return Asking(
            template=own if has_conversations else None,
            switches=dict(self._switches.of_most()),
            date=f"{self._reader.today:%Y-%m-%d}" if writes_date else None,
            end_tokens=self._texts(self._reader.base.served),
            stop_tokens=self._texts(self._stop_tokens),
        )

    def findings(self, held_out: HeldOutRows, num_rows: int) -> list[Finding]:
        again, first = repeated(self._told.rows)
        pairs = zip(again[:FIRST].tolist(), first[:FIRST].tolist(), strict=True)
        places = [place(self._told.line(index), same_as=self._told.line(other)) for index, other in pairs]
        self._findings.add_all("duplicate", len(again), places)
        self.long_rows.report_to(self._findings)
        self._switches.report_to(self._findings)
        held_out.compare(self._told, self._findings)
        return self._findings.reported(num_rows, len(held_out))

    def _texts(self, tokens: Iterable[int]) -> list[str]:
        return [str(self._reader.base.tokenizer.convert_ids_to_tokens(token)) for token in sorted(tokens)]


def _max_seq_length(asked: int | None, context_length: int | None) -> int:
    try:
        return config.resolved_max_seq_length(TrainingConfig(max_seq_length=asked), context_length)
    except ServiceError as error:
        raise ServiceError(str(error).removeprefix("training_config.")) from error  # it is a query parameter here
