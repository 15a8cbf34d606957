"""A job's rows become tokens, once: what was made of the same data in the same way is mapped again, not made again."""

import hashlib
import logging
from collections import Counter
from contextlib import nullcontext
from datetime import datetime
from pathlib import Path
from typing import BinaryIO

from msgspec import Struct
from transformers import PreTrainedTokenizerBase

from runtime.model.chat import ChatTemplate
from runtime.trainer import token_files
from runtime.trainer.counting import Tell, counted, nobody
from runtime.trainer.documents import Document, shortened
from runtime.trainer.masks.masker import Masker, batches
from runtime.trainer.masks.results import Masked, Refused
from runtime.trainer.preferences import pairs
from runtime.trainer.token_files import TokenFiles, TokenWriter
from state import folders, methods
from state.config import Learn, Method, OnTooLong
from state.errors import ServiceError
from state.row_source import RowSource
from state.rows.row import Preference, Row, Text, encode, is_conversation
from state.rows.tally import Tally

VERSION = 2
HELD_OUT_ROWS = "rows.jsonl"
SHOWN = 3  # rows that are named where more cannot be learned

log = logging.getLogger("trainer")


class Way(Struct, frozen=True, kw_only=True):
    """All that decides what the tokens are."""

    version: int = VERSION
    data_sha256: str
    tokenizer_sha256: str
    chat_template: str
    served: list[int]
    today: str
    """What a template is told that writes a date: the job's own day, whenever it is resumed."""
    max_seq_length: int
    learn: Learn | None
    on_too_long: OnTooLong | None
    skip_invalid: bool
    method: Method = "sft"


class Counts(Struct, kw_only=True):
    """What became of the rows."""

    num_rows: int = 0
    data_sha256: str = ""
    """Of the rows as they were read (state/rows/tally.py)."""
    num_cut: int = 0
    """Rows that were longer than allowed and lost their end."""
    num_dropped: int = 0
    """Rows that were left out: too long, or with nothing to learn in them."""
    num_refused: int = 0
    """Rows that cannot be learned exactly, and were skipped."""
    notes: dict[str, int] = {}
    stop_tokens: list[int] = []
    """The tokens that end answers and at which the base alone does not stop."""
    switches: dict[str, bool] = {}
    """How the template was told whether the model thinks, in most rows."""
    has_conversations: bool = False


class About(Struct, kw_only=True):
    """about.json."""

    way: Way
    counts: Counts


class Tokenized(Struct, frozen=True):
    """Rows as documents."""

    rows: TokenFiles
    counts: Counts


class Tokenizer(Struct, frozen=True):
    """How a job's rows are tokenized."""

    tokenizer: PreTrainedTokenizerBase
    template: ChatTemplate
    served: frozenset[int]
    now: datetime
    max_seq_length: int
    learn: Learn | None
    on_too_long: OnTooLong | None
    skip_invalid: bool
    method: Method = "sft"
    tell: Tell = nobody
    """Is told how far it is."""

    def tokenize(self, source: RowSource, folder: Path) -> Tokenized:
        """The rows' tokens in `folder`, made unless they are there.

        Raises ServiceError for rows that cannot be read, or not be learned exactly, and where nothing is left to learn.
        """
        way = self._way(source)
        made = token_files.about(folder, About)
        if made is not None and made.way == way:
            return Tokenized(TokenFiles(folder), made.counts)
        for parent in (folder.parent.parent, folder.parent):
            parent.mkdir(exist_ok=True)  # no more: a job's folder that was removed does not come back
        with folders.appearing(folder, replacing=True) as hidden, TokenWriter(hidden) as writer:
            shows = source.split is not None and source.split.is_held_out
            with (hidden / HELD_OUT_ROWS).open("wb") if shows else nullcontext() as shown:
                counts = _Making(self, source, writer, shown).make()
            writer.finish(About(way=way, counts=counts))
        return Tokenized(TokenFiles(folder), counts)

    def _way(self, source: RowSource) -> Way:
        return Way(
            data_sha256=source.sha256(),
            tokenizer_sha256=_sha256(self.tokenizer),
            chat_template=self.template.source,
            served=sorted(self.served),
            today=f"{self.now:%Y-%m-%d}",
            max_seq_length=self.max_seq_length,
            learn=self.learn,
            on_too_long=self.on_too_long,
            skip_invalid=self.skip_invalid,
            method=self.method,
        )


class _Making:
    """One pass over the rows."""

    def __init__(self, how: Tokenizer, source: RowSource, writer: TokenWriter, shown: BinaryIO | None) -> None:
        """`shown` gets the rows as they are, for people."""
        self._how = how
        self._source = source
        self._writer = writer
        self._shown = shown
        self._tally = Tally()
        self._masker = Masker(how.tokenizer, how.template, how.served, how.learn)
        self._counts = Counts()
        self._notes: Counter[str] = Counter()
        self._stops: set[int] = set()
        self._switches: Counter[tuple[tuple[str, bool], ...]] = Counter()
        self._refused: list[str] = []
        self._too_long: list[int] = []

    def make(self) -> Counts:
        rows = self._source.rows(skip_invalid=self._how.skip_invalid)
        what = f"Tokenizing {self._source.name}"
        for batch in batches(counted(rows, what, self._source.num_lines(), self._how.tell)):
            for (line, row), masked in zip(batch, self._masker.masks([row for _, row in batch]), strict=True):
                self._take(line, row, masked)
        return self._finished()

    def _take(self, line: int, row: Row, masked: Masked | Refused) -> None:
        methods.check_row(self._how.method, self._source.name, row)
        self._counts.num_rows += 1
        as_a_line = encode(row) + b"\n"
        self._tally.add(as_a_line)
        if self._shown is not None:
            self._shown.write(as_a_line)
        if isinstance(masked, Refused):
            self._refuse(line, row, masked)
            return
        documents = self._cut(line, row, masked.sequences)
        if not documents:
            self._counts.num_dropped += 1
            return
        self._notes.update(note.id for note in masked.notes)
        self._stops |= masked.stop_tokens
        if is_conversation(row):
            self._counts.has_conversations = True
            self._switches[tuple(masked.switches.items())] += 1
        self._writer.add(line, documents)

    def _refuse(self, line: int, row: Row, refused: Refused) -> None:
        if refused.is_single_token(row, self._how.learn):
            self._counts.num_dropped += 1
            return
        self._counts.num_refused += 1
        if len(self._refused) < SHOWN:
            self._refused.append(f"line {line}: {refused.message}")

    def _cut(self, line: int, row: Row, documents: list[Document]) -> list[Document]:
        """The row within `max_seq_length`; empty where nothing that is learned is left."""
        most = self._how.max_seq_length
        if all(len(document) <= most for document in documents):
            return documents
        what = self._how.on_too_long or ("cut" if isinstance(row, Text) else "refuse")
        if what == "refuse":
            self._too_long.append(line)
            return []
        if what == "drop":
            return []
        self._counts.num_cut += 1
        if isinstance(row, Preference):
            return pairs.cut(documents, most)
        return [cut for document in documents if (cut := shortened(document, most)).spans]

    def _finished(self) -> Counts:
        counts, name = self._counts, self._source.name
        if self._too_long:
            first = ", ".join(map(str, self._too_long[:SHOWN]))
            raise ServiceError(
                f"{name}: {len(self._too_long)} of {counts.num_rows} rows are longer than max_seq_length, "
                f"{self._how.max_seq_length} tokens, and would lose the end of an answer (line {first}, …): raise "
                'training_config.max_seq_length, or set on_too_long to "cut" or "drop"'
            )
        if self._refused and not self._how.skip_invalid:
            raise ServiceError(
                f"{name} {'; '.join(self._refused)}. {counts.num_refused} of {counts.num_rows} rows cannot be learned "
                "exactly: mend them, or leave them out with training_config.skip_invalid: true"
            )
        counts.data_sha256 = self._tally.sha256
        counts.notes = dict(self._notes)
        counts.stop_tokens = sorted(self._stops)
        if self._switches:
            counts.switches = dict(self._switches.most_common(1)[0][0])
        return counts


def _sha256(tokenizer: PreTrainedTokenizerBase) -> str:
    said = tokenizer.backend_tokenizer.to_str() if tokenizer.is_fast else repr(sorted(tokenizer.get_vocab().items()))
    return hashlib.sha256(said.encode()).hexdigest()
