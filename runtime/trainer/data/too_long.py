"""Rows that are longer than a job takes them, and what cutting them would take away."""

from runtime.messages.report import Place, TooLong
from runtime.messages.rows import Line
from runtime.trainer.data.findings import FIRST, Findings, Words, place
from runtime.trainer.documents import Document
from state.rows.row import Row, Text


class LongRows:
    def __init__(self, max_seq_length: int, context_length: int | None) -> None:
        self._most = max_seq_length
        self._context = context_length
        self._count = self._lose_end = self._lose_all = 0
        self._are_texts = True
        self._first: list[Place] = []
        self._longest: Line | None = None
        self._longest_tokens = 0

    def add(self, line: Line, row: Row, sequences: list[Document]) -> None:
        longest = max(map(len, sequences))
        if longest > self._longest_tokens:
            self._longest, self._longest_tokens = line, longest
        if longest <= self._most:
            return
        self._count += 1
        self._are_texts &= isinstance(row, Text)
        spans = [span for document in sequences for span in document.spans]
        self._lose_end += any(end > self._most for _, end in spans)
        self._lose_all += all(begin >= self._most for begin, _ in spans)
        if len(self._first) < FIRST:
            self._first.append(place(line, value=f"{longest} tokens"))

    def told(self, num_rows: int) -> TooLong:
        return TooLong(
            max_seq_length=self._most,
            context_length=self._context,
            count=self._count,
            share=round(self._count / num_rows, 6) if num_rows else 0.0,
            lose_an_answers_end=self._lose_end,
            lose_everything=self._lose_all,
            longest=self._longest,
            longest_tokens=self._longest_tokens,
        )

    def report_to(self, findings: Findings) -> None:
        """A job cuts texts; it refuses other rows unless its settings say what to do."""
        if self._longest is None:
            return
        fate = "a job cuts them" if self._are_texts else "a job refuses those with answers"
        words = Words(
            "warning" if self._are_texts else "error",
            f"are longer than {self._most} tokens: {fate}. Cut, {self._lose_end} lose the end of what is learned, and "
            f"{self._lose_all} all of it. The longest, {self._longest.file} line {self._longest.line}, has "
            f"{self._longest_tokens} tokens",
            self._fix(),
        )
        findings.add_all("truncated", self._count, self._first, words)

    def _fix(self) -> str:
        others = 'shorten these rows, or set training_config.on_too_long to "cut" or "drop"'
        if self._context is None or self._longest_tokens <= self._context:
            return f"Raise training_config.max_seq_length to {self._longest_tokens}, {others}"
        return f"The model's context is {self._context} tokens: {others}"
