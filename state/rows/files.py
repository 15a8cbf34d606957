"""The rows of a file, one after another: JSON Lines, JSON, CSV and Parquet; all but Parquet also with .gz.

The name says what a file is, and its first bytes must agree. Memory holds a row, not the file; of Parquet, what its
writer put into one row group.
"""

import gzip
import io
import re
import zlib
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import Literal

import msgspec

from state.errors import ServiceError, first_line
from state.rows import json_values, tables
from state.rows.json_values import LISTS, MAX_ROW_BYTES, Window
from state.rows.problems import Wrong

Kind = Literal["jsonl", "json", "csv", "parquet"]
KINDS: dict[str, Kind] = {
    ".jsonl": "jsonl",
    ".ndjson": "jsonl",
    ".json": "json",
    ".csv": "csv",
    ".parquet": "parquet",
}
GZIP = ".gz"
UNPACKED_BYTES = 2**17
"""At a time: what comes before the end of a file that was cut off is read but for this much."""

_GZIP_MAGIC = b"\x1f\x8b"
_BOM = b"\xef\xbb\xbf"
_decoder = msgspec.json.Decoder()


class Source:
    """One file, read once. What it counts is complete when all rows have been taken."""

    def __init__(self, path: Path) -> None:
        """Raises ServiceError for a name that says no kind of file that Lathe reads, and for what is no file."""
        self.path = path
        self.kind = kind_of(path.name)
        self.lines = 0
        """Of a Parquet file, its rows."""
        self.blank_lines = 0
        if not path.is_file():
            raise ServiceError(f"{path.name} is not a file")

    def rows(self) -> Iterator[tuple[int, object]]:
        """Each row's line and its object, or a Wrong in its place.

        Raises ServiceError for a file that is not what its name says, or that cannot be read.
        """
        try:
            if self.kind == "parquet":
                yield from self._parquet()
                return
            with self._open() as stream:
                yield from self._text_rows(stream)
        except (EOFError, zlib.error, gzip.BadGzipFile) as error:
            yield self.lines + 1, Wrong("broken_file", f"the .gz file was cut off or damaged: {first_line(error)}")
        except OSError as error:
            raise ServiceError(f"{self.path.name} cannot be read: {error.strerror or error}") from error

    def _open(self) -> io.BufferedReader:
        file = self.path.open("rb")
        if not self.path.name.lower().endswith(GZIP):
            return file
        with file:
            if file.read(len(_GZIP_MAGIC)) != _GZIP_MAGIC:
                raise ServiceError(f"{self.path.name} is not compressed by gzip: take {GZIP} off its name")
        return io.BufferedReader(gzip.GzipFile(self.path), UNPACKED_BYTES)

    def _text_rows(self, stream: io.BufferedReader) -> Iterator[tuple[int, object]]:
        head = stream.peek(4096)
        check_head(self.path.name, self.kind, head)
        if head.startswith(_BOM):
            stream.read(len(_BOM))
        if self.kind == "csv":
            return self._csv(stream)
        if self.kind == "jsonl" or (_text_of(head).startswith(b"{") and _begins_with_a_row(stream)):
            return self._json_lines(stream)
        return self._json(stream)

    def _json_lines(self, stream: io.BufferedReader) -> Iterator[tuple[int, object]]:
        for line in iter(partial(stream.readline, MAX_ROW_BYTES), b""):
            self.lines += 1
            if line.isspace():
                self.blank_lines += 1
            elif len(line) == MAX_ROW_BYTES and not line.endswith(b"\n"):
                _pass_line(stream)
                yield self.lines, Wrong("row_too_large", f"is larger than {MAX_ROW_BYTES // 2**20} MiB: split it")
            else:
                yield self.lines, decoded(line)

    def _json(self, stream: io.BufferedReader) -> Iterator[tuple[int, object]]:
        window = Window(stream)
        for line, row in json_values.rows(window):
            self.lines = line
            yield line, decoded(row) if isinstance(row, bytes) else row
        self.lines = window.line

    def _csv(self, stream: io.BufferedReader) -> Iterator[tuple[int, object]]:
        table = tables.Csv(self.path.name, stream)
        for line, row in table.rows():
            self.lines = table.lines
            yield line, row
        self.lines, self.blank_lines = table.lines, table.blank_lines

    def _parquet(self) -> Iterator[tuple[int, object]]:
        with self.path.open("rb") as file:
            check_head(self.path.name, self.kind, file.read(4096))
        for line, row in tables.parquet_rows(self.path):
            self.lines = line
            yield line, row


def kind_of(name: str) -> Kind:
    """Raises ServiceError for a name that says nothing that Lathe reads."""
    bare = name.lower().removesuffix(GZIP)
    kind = KINDS.get(Path(bare).suffix)
    if kind is None or (kind == "parquet" and bare != name.lower()):
        kinds = f"{', '.join(KINDS)} (all but .parquet also with {GZIP})"
        raise ServiceError(f"{name} is no kind of file that Lathe reads: save it as {kinds}")
    return kind


def ending_of(name: str) -> str:
    """Of a file's name, such as `.csv.gz`. Raises as `kind_of` does."""
    kind_of(name)
    bare = name.lower().removesuffix(GZIP)
    return Path(bare).suffix + (GZIP if name.lower() != bare else "")


def is_rows(name: str) -> bool:
    """Whether a file of this name would be read."""
    try:
        kind_of(name)
    except ServiceError:
        return False
    return not name.startswith(".")


def check_head(name: str, kind: Kind, head: bytes) -> None:
    """Raise ServiceError if a file's first bytes are not what its name says."""
    if not head:
        raise ServiceError(f"{name} is empty")
    begin = _text_of(head)
    for other, words in _OTHER_FILES.items():
        if begin[: len(other)].lower() == other:
            raise ServiceError(f"{name} {words}")
    if (kind == "parquet") is not head.startswith(b"PAR1"):
        raise ServiceError(f"{name} is {'not Parquet' if kind == 'parquet' else 'Parquet'}: name it by what it is")
    if kind != "parquet" and (head[:2] in {b"\xff\xfe", b"\xfe\xff"} or 0 in head[:2]):
        raise ServiceError(f"{name} is UTF-16: save it as UTF-8")
    if what := _other_json(kind, begin[:1]):
        raise ServiceError(f"{name} {what}")


def _text_of(head: bytes) -> bytes:
    return head.removeprefix(_BOM).lstrip()


def _other_json(kind: Kind, first: bytes) -> str | None:
    """What to say of a text file that begins with this byte and is of another kind than its name says."""
    if kind == "jsonl" and first == b"[":
        return "begins with [, so it is one JSON list, not JSON Lines: name it .json"
    if kind == "json" and first not in {b"[", b"{", b""}:
        return f"is not JSON: it begins with {first.decode('ascii', 'replace')!r}, not with [ or {{"
    if kind == "csv" and first in {b"[", b"{"}:
        return "is JSON, not CSV: name it .jsonl, or .json if it is one list"
    return None


_OTHER_FILES = {
    _GZIP_MAGIC: "is compressed by gzip: name it with .gz at the end",
    b"pk\x03\x04": "is a ZIP archive or a workbook: unpack it, or save the sheet as CSV",
    b"version https://git-lfs": "is a pointer of Git LFS, not the data: fetch it with git lfs pull",
    b"<!doctype": "is a web page, not data: download the file itself",
    b"<html": "is a web page, not data: download the file itself",
    b"arrow1": "is an Arrow file: save it as Parquet or JSON Lines",
}


def decoded(raw: bytes) -> object:
    """A row's object, or the Wrong that says why there is none."""
    try:
        value: object = _decoder.decode(raw)
    except UnicodeDecodeError as error:
        return Wrong("invalid_utf8", f"is not UTF-8: {error.reason} at byte {error.start}; save the file as UTF-8")
    except RecursionError:
        return Wrong("too_deep", "has more lists in lists than can be read: flatten it")
    except msgspec.DecodeError as error:
        return Wrong("malformed_json", f"is not JSON: {_reason(raw.strip(), error)}")
    return value


def _reason(raw: bytes, error: msgspec.DecodeError) -> str:
    """What is wrong with a row that is not JSON, in the words of the usual mistakes where it is one."""
    for pattern, words in _MISTAKES:
        if pattern.search(raw):
            return words
    return str(error).removeprefix("JSON is malformed: ").replace("Input data was truncated", "it ends in the middle")


_MISTAKES = (
    (re.compile(rb"^$"), "a comma stands before the end of the list; remove it"),
    (re.compile(rb"^[\[{]$"), "each line must be a whole object; if the file is one JSON list, name it .json"),
    (re.compile(rb"^[\[{]\s*'"), "it is a Python literal; write rows with json.dumps"),
    (re.compile(rb"[:\[,]\s*-?(NaN|Infinity)\b"), "JSON has no NaN and no Infinity; write null"),
    (re.compile(rb"[:\[,]\s*(None|True|False)\b"), "it is a Python literal; write rows with json.dumps"),
    (re.compile(rb"\}\s*,$"), "a comma stands behind the object; remove it, one object a line needs none"),
    (re.compile(rb"^\{.*\}\s*\{.*\}$"), "several objects stand in one line; write one object a line"),
    (re.compile(rb",\s*[}\]]$"), "a comma stands before the closing bracket; remove it"),
    (
        re.compile(rb"\\u[dD][89abAB]..(?!\\u[dD][c-fC-F])"),
        "it has half of a character, such as a cut emoji; remove it",
    ),
    (re.compile(rb'^[^\[{"]'), 'it is bare text; write {"text": "..."} in each line'),
)


def _begins_with_a_row(stream: io.BufferedReader) -> bool:
    """Whether a .json file is JSON Lines: its first line is a whole object without a list of rows."""
    begin = stream.tell()
    line = next((line for line in iter(partial(stream.readline, MAX_ROW_BYTES), b"") if not line.isspace()), b"")
    stream.seek(begin)
    row = decoded(line)
    return isinstance(row, dict) and not any(key.lower() in LISTS and isinstance(row[key], list) for key in row)


def _pass_line(stream: io.BufferedReader) -> None:
    for piece in iter(partial(stream.readline, json_values.CHUNK), b""):
        if piece.endswith(b"\n"):
            return
