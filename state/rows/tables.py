"""Rows of tables: CSV with a header, and Parquet."""

import csv
from collections.abc import Iterator
from functools import partial
from io import BufferedReader
from pathlib import Path

from state.errors import ServiceError, first_line
from state.rows.json_values import MAX_ROW_BYTES
from state.rows.problems import Wrong

BATCH = 1024  # rows of a Parquet file that are decoded at a time
INSTALL = ".venv/bin/python -m pip install --constraint constraints.txt --editable '.[parquet]'"

csv.field_size_limit(MAX_ROW_BYTES)  # the module's own limit of 128 kB is shorter than a long conversation


class Csv:
    """A CSV file as RFC 4180 has it: commas, quotes doubled inside quotes, line ends inside quotes."""

    def __init__(self, name: str, stream: BufferedReader) -> None:
        self.lines = 0
        self.blank_lines = 0
        self._name = name
        self._not_utf8: list[int] = []
        self._reader = csv.reader(self._decoded_lines(stream), strict=True)

    def rows(self) -> Iterator[tuple[int, object]]:
        """Each row's first line, and its cells under the header's names or a Wrong. Raises ServiceError."""
        header: list[str] | None = None
        for line, cells in self._records():
            if isinstance(cells, Wrong):
                yield line, cells
            elif header is None:
                header = _checked_header(self._name, cells)
            elif len(cells) != len(header):
                yield line, _ragged(len(cells), len(header))
            else:
                yield line, {name: cell for name, cell in zip(header, cells, strict=True) if not _is_index(name)}

    def _records(self) -> Iterator[tuple[int, list[str] | Wrong]]:
        while True:
            line = self._reader.line_num + 1
            try:
                cells = next(self._reader)
            except StopIteration:
                return
            except csv.Error as error:
                yield line, _malformed(error)
                if "field limit" in str(error):
                    return  # the rest would be read from the middle of a cell
                continue
            except Wrong as wrong:
                yield line, wrong
                return
            finally:
                self.lines = self._reader.line_num
            if self._not_utf8:
                message = f"line {self._not_utf8[0]} is not UTF-8: save the file as UTF-8 (in Excel, as CSV UTF-8)"
                self._not_utf8.clear()
                yield line, Wrong("invalid_utf8", message)
            elif cells:
                yield line, cells
            else:
                self.blank_lines += 1

    def _decoded_lines(self, stream: BufferedReader) -> Iterator[str]:
        for number, line in enumerate(iter(partial(stream.readline, MAX_ROW_BYTES), b""), start=1):
            if len(line) == MAX_ROW_BYTES:
                raise Wrong("row_too_large", f"is larger than {MAX_ROW_BYTES // 2**20} MiB: split it")
            try:
                yield line.decode()
            except UnicodeDecodeError:
                self._not_utf8.append(number)
                yield line.decode(errors="replace")


def parquet_rows(path: Path) -> Iterator[tuple[int, object]]:
    """Each row's number, and its values without nulls or a Wrong. Raises ServiceError.

    Parquet gives every object all keys that any object of its column has, with null for those that it lacks.
    """
    try:
        from pyarrow import ArrowException, parquet  # noqa: PLC0415  170 MB that only this format needs
    except ImportError as error:
        message = f"reading Parquet needs pyarrow. Run {INSTALL} in Lathe's folder, or save the data as JSON Lines"
        raise ServiceError(f"{path.name}: {message}") from error
    broken = (ArrowException, ValueError, KeyError, OSError)
    try:
        file = parquet.ParquetFile(path)
    except broken as error:
        raise ServiceError(f"{path.name} is damaged, or not Parquet: {first_line(error)}") from error
    with file:
        names = file.schema_arrow.names
        if len(set(names)) < len(names):
            raise ServiceError(f"{path.name} has two columns of one name: rename one")
        number = 0
        try:
            for batch in file.iter_batches(BATCH):
                for row in batch.to_pylist(maps_as_pydicts="strict"):
                    number += 1
                    yield number, without_nulls(row)
        except broken as error:
            yield number + 1, Wrong("broken_file", f"the Parquet file cannot be read from here: {first_line(error)}")


def without_nulls(value: object) -> object:
    match value:
        case dict():
            return {key: without_nulls(inner) for key, inner in value.items() if inner is not None}
        case list():
            return [without_nulls(inner) for inner in value]
        case _:
            return value


def _checked_header(name: str, header: list[str]) -> list[str]:
    named = [each.strip() for each in header]
    kept = [each for each in named if not _is_index(each)]
    if len(set(kept)) < len(kept):
        repeated = next(each for each in kept if kept.count(each) > 1)
        raise ServiceError(f"{name}: two columns are called {repeated!r}: rename one")
    if len(named) == 1 and (separator := next((each for each in ";\t|" if each in named[0]), None)):
        raise ServiceError(f"{name}: its columns are separated by {separator!r}: save it with commas")
    return named


def _is_index(name: str) -> bool:
    """Whether a column is the row numbers that pandas writes unasked."""
    return not name or name.lower().startswith("unnamed: ")


def _ragged(cells: int, columns: int) -> Wrong:
    words = f"has {cells} cell{'' if cells == 1 else 's'}, but the header has {columns}"
    return Wrong("ragged_row", f'{words}: put cells that hold commas or line ends in quotes, "like, this"')


def _malformed(error: csv.Error) -> Wrong:
    said = str(error)
    if "unexpected end of data" in said or "field limit" in said:
        return Wrong("malformed_csv", "a quote is opened in this row and never closed: close it")
    if "expected after" in said:
        return Wrong("malformed_csv", 'a quote stands inside a quoted cell: double it, "" for one "')
    return Wrong("malformed_csv", f"is not CSV: {said}")
