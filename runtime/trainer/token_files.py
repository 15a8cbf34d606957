"""Rows as tokens, in flat files that are mapped: 4 bytes a token, none of them in the process's own memory.

    tokens.u32      the tokens of all documents, one document behind another
    spans.u32       (first, behind the last) of each learned span, in its document's tokens
    documents.i64   of each document, where its tokens and its spans begin; and where the last one's end
    rows.i64        of each row, its line in the user's file, and its first document; and the number of documents
    about.json      what the rows were made of, and how: other data or settings are other tokens. Written last

A list of Python's integers takes 35 bytes a token.
"""

from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import BinaryIO, Self, TypeVar

import numpy as np
from msgspec import Struct
from numpy.typing import NDArray

from runtime.trainer.documents import Document
from state import store
from state.errors import BrokenFile

About = TypeVar("About", bound=Struct)
ABOUT = "about.json"


class TokenFiles:
    """A folder's rows, mapped. Taking a row reads its own tokens alone."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._tokens = _mapped(folder / "tokens.u32", np.uint32)
        self._spans = _mapped(folder / "spans.u32", np.uint32).reshape(-1, 2)
        self._documents = _mapped(folder / "documents.i64", np.int64).reshape(-1, 2)
        self._rows = _mapped(folder / "rows.i64", np.int64).reshape(-1, 2)

    def __len__(self) -> int:
        return len(self._rows) - 1

    def __getitem__(self, row: int) -> list[Document]:
        """A row's documents, which belong into one step."""
        first, end = (int(number) for number in self._rows[row : row + 2, 1])
        return [self._document(number) for number in range(first, end)]

    def __iter__(self) -> Iterator[list[Document]]:
        return (self[row] for row in range(len(self)))

    def num_tokens(self, row: int) -> int:
        """Of all its documents; none of them is read."""
        first, end = self._documents[self._rows[row : row + 2, 1], 0]
        return int(end - first)

    def line(self, row: int) -> int:
        """Where the row stands in the user's file, from 1."""
        return int(self._rows[row, 0])

    @property
    def lengths(self) -> NDArray[np.int64]:
        """Of the documents, in tokens."""
        return np.diff(self._documents[:, 0])

    @property
    def first_documents(self) -> NDArray[np.int64]:
        """Each row's first document, and the number of documents."""
        return np.asarray(self._rows[:, 1])

    @property
    def targets(self) -> NDArray[np.int64]:
        """How many tokens of each document are learned."""
        learned = np.concatenate([[0], np.cumsum(self._spans[:, 1].astype(np.int64) - self._spans[:, 0])])
        return np.diff(learned[self._documents[:, 1]])

    def _document(self, number: int) -> Document:
        (first, first_span), (end, end_span) = self._documents[number : number + 2]
        spans = [(int(begin), int(behind)) for begin, behind in self._spans[first_span:end_span]]
        return Document(self._tokens[first:end].tolist(), spans)


class TokenWriter:
    """Writes rows to a folder that nobody reads yet."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._opened = ExitStack()
        self._tokens, self._spans, self._documents, self._rows = (
            self._opened.enter_context((folder / name).open("wb"))
            for name in ("tokens.u32", "spans.u32", "documents.i64", "rows.i64")
        )
        self._num_tokens = self._num_spans = self._num_documents = 0

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._opened.close()

    def add(self, line: int, documents: list[Document]) -> None:
        _write(self._rows, [line, self._num_documents], np.int64)
        for document in documents:
            _write(self._documents, [self._num_tokens, self._num_spans], np.int64)
            _write(self._tokens, document.tokens, np.uint32)
            _write(self._spans, [number for span in document.spans for number in span], np.uint32)
            self._num_tokens += len(document)
            self._num_spans += len(document.spans)
        self._num_documents += len(documents)

    def finish(self, about: Struct) -> None:
        """Without this the folder holds nothing that can be read."""
        _write(self._rows, [0, self._num_documents], np.int64)
        _write(self._documents, [self._num_tokens, self._num_spans], np.int64)
        self._opened.close()
        (self._folder / ABOUT).write_bytes(store.pretty(about))


def about(folder: Path, kind: type[About]) -> About | None:
    """What a folder's rows were made of; None where there is no whole folder."""
    try:
        return store.read(folder / ABOUT, kind)
    except (FileNotFoundError, BrokenFile):
        return None


def _write(file: BinaryIO, numbers: list[int], kind: type[np.generic]) -> None:
    file.write(np.asarray(numbers, dtype=kind).tobytes())


def _mapped(file: Path, kind: type[np.generic]) -> NDArray[np.int64]:
    if file.stat().st_size == 0:  # nothing can be mapped of it
        return np.empty(0, dtype=kind)
    return np.memmap(file, dtype=kind, mode="r")
