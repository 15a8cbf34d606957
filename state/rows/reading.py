"""Rows of a file, or of a folder of files, with a report of everything that was found in them.

Rows come one after another; the report is complete when the last one has been taken. Nothing is skipped silently: a
row that cannot be used is reported, and ends the reading with an error unless the caller skips such rows.
"""

import hashlib
import re
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path

from msgspec import Struct

from state.errors import ServiceError
from state.rows import files, formats
from state.rows.files import Source, is_rows
from state.rows.formats import Detector, Shape
from state.rows.problems import Problem, Wrong
from state.rows.row import Row

MOST_PROBLEMS = 50  # that are kept in full; all are counted
MOST_UNUSED = 50  # keys that are named

SIDECARS = frozenset(
    {"dataset.json", "file.json", "dataset_info.json", "dataset_infos.json", "dataset_dict.json", "state.json"}
)
"""Descriptions of data: Lathe's own two, and those of Hugging Face's datasets and LLaMA-Factory."""
TESTS = frozenset({"test", "testing"})
HELD_OUT = TESTS | {"eval", "evaluation", "val", "valid", "validation", "dev"}
"""First words of the names of files that are kept from training."""


class Numbered(Struct, frozen=True, gc=False):
    """A row and where it stands."""

    file: str
    line: int
    number: int
    """Of the row in its file, from 1."""
    row: Row
    others: dict[str, object] = {}
    """Columns that the format has no use for."""


class FileReport(Struct, kw_only=True):
    """What one file holds."""

    name: str
    kind: files.Kind
    bytes: int
    sha256: str = ""
    """Of the file as it is, so of a .gz file's packed bytes."""
    lines: int = 0
    blank_lines: int = 0
    format: str | None = None
    """None where no row has one."""
    detected_by: str | None = None
    detected_on: int | None = None
    """The line of the first row that has a format: it is the file's."""
    used: int = 0
    bad: int = 0


class Report(Struct, kw_only=True):
    """What a data set holds."""

    files: list[FileReport] = []
    ignored_files: list[str] = []
    """Files of the folder that were not read: descriptions, evaluation data, and what is no kind of data."""
    row_kind: formats.Kind | None = None
    """What the rows have become."""
    total: int = 0
    used: int = 0
    bad: int = 0
    problems: list[Problem] = []
    """The first 50."""
    problem_counts: dict[str, int] = {}
    """Of all problems, by their id."""
    unused_keys: dict[str, int] = {}
    """Keys that the format has no use for, and in how many rows they are."""
    sha256: str = ""
    """Of the content: one file's own, or that of all files' in their order."""


class Reading:
    """One pass over a data set."""

    def __init__(
        self,
        path: Path,
        *,
        columns: Mapping[str, str] | None = None,
        skip_invalid: bool = False,
        held_out: bool = False,
    ) -> None:
        """A file, or a folder whose files are read in the order of their names: those for training, or those held out.

        Raises ServiceError for a mapping that makes no format, and for a folder without data.
        """
        self.report = Report()
        self._skip_invalid = skip_invalid
        self._detector = Detector(columns)
        self._sources = self._found(path, held_out=held_out)

    @property
    def files(self) -> list[str]:
        """The names of the files that are read, in their order."""
        return [source.path.name for source in self._sources]

    def rows(self) -> Iterator[Numbered]:
        """All rows that can be used. Raises what `every` raises."""
        return (found for found in self.every() if isinstance(found, Numbered))

    def every(self) -> Iterator[Numbered | Problem]:
        """All rows in their order; in the place of one that cannot be used, what is wrong with it.

        Raises ServiceError for a file that cannot be read, and at the end where rows are wrong and not to be skipped,
        or where there are none: so what was made of the rows before counts only when this returns.
        """
        try:
            for source in self._sources:
                yield from self._rows_of(source)
        except FileNotFoundError as error:
            raise ServiceError(f"{Path(str(error.filename)).name} was removed while it was read: try again") from error
        self._finish()

    def _found(self, path: Path, *, held_out: bool) -> list[Source]:
        if path.is_file():
            return [Source(path)]
        try:
            names = sorted(each.name for each in path.iterdir() if each.is_file() and not each.name.startswith("."))
        except (FileNotFoundError, NotADirectoryError) as error:
            raise ServiceError(f"{path.name} is not there") from error
        read = chosen(names, held_out=held_out)
        self.report.ignored_files = [name for name in names if name not in read]
        if not read:
            raise ServiceError(f"{path.name} holds no data: put a .jsonl, .json, .csv or .parquet file into it")
        return [Source(path / name) for name in read]

    def _rows_of(self, source: Source) -> Iterator[Numbered | Problem]:
        name = source.path.name
        before = _identity(source.path)
        file = FileReport(name=name, kind=source.kind, bytes=source.path.stat().st_size)
        self.report.files.append(file)
        for number, (line, raw) in enumerate(source.rows(), start=1):
            try:
                row, others = self._converted(file, line, raw)
            except Wrong as wrong:
                file.bad += 1
                problem = wrong.problem(name, line, number)
                self._add(problem)
                yield problem
            else:
                file.used += 1
                yield Numbered(name, line, number, row, others)
        file.lines, file.blank_lines = source.lines, source.blank_lines
        with source.path.open("rb") as opened:
            file.sha256 = hashlib.file_digest(opened, "sha256").hexdigest()
        if _identity(source.path) != before:
            raise ServiceError(f"{name} was changed while it was read: try again")

    def _converted(self, file: FileReport, line: int, raw: object) -> tuple[Row, dict[str, object]]:
        if isinstance(raw, Wrong):
            raise raw
        shape = self._detector.shape_of(raw)
        assert isinstance(raw, dict)  # noqa: S101  or it would have no shape
        if shape.format.name != file.format:
            self._settle(file, line, raw, shape)
        for key in shape.unused:
            self._count_unused(key)
        return formats.convert(raw, shape), {key: raw[key] for key in shape.unused}

    def _settle(self, file: FileReport, line: int, raw: dict[str, object], shape: Shape) -> None:
        """Take a file's format from its first row that has one. Raises Wrong for a row of another one."""
        found = shape.format
        if file.format is not None:
            message = (
                f"is {found.name} by its {formats.detected_by(raw, shape)}, but the file is {file.format} since line "
                f"{file.detected_on}: keep each format in a file of its own"
            )
            raise Wrong("mixed_formats", message)
        if self.report.row_kind not in {None, found.makes}:
            message = (
                f"makes a {found.makes} row, but those of {self.report.files[0].name} are {self.report.row_kind}: "
                "make a data set for each"
            )
            raise Wrong("mixed_formats", message)
        self.report.row_kind = found.makes
        file.format, file.detected_by, file.detected_on = found.name, formats.detected_by(raw, shape), line

    def _count_unused(self, key: str) -> None:
        counts = self.report.unused_keys
        if key in counts or len(counts) < MOST_UNUSED:
            counts[key] = counts.get(key, 0) + 1

    def _add(self, problem: Problem) -> None:
        counts = self.report.problem_counts
        counts[problem.id] = counts.get(problem.id, 0) + 1
        if len(self.report.problems) < MOST_PROBLEMS:
            self.report.problems.append(problem)

    def _finish(self) -> None:
        report = self.report
        report.used = sum(file.used for file in report.files)
        report.bad = sum(file.bad for file in report.files)
        report.total = report.used + report.bad
        report.sha256 = _sha256(report.files)
        if report.bad and not (self._skip_invalid and report.used):
            raise ServiceError(refusal(report))
        if not report.used:
            raise ServiceError(f"{', '.join(file.name for file in report.files)}: no rows")


def refusal(report: Report) -> str:
    """The sentence for a data set with rows that cannot be used: the first one, how many of which, and what to do."""
    counts = ", ".join(f"{count} {name}" for name, count in sorted(report.problem_counts.items(), key=_by_count))
    first = report.problems[0]
    if not report.used:
        return f"{first}. No row can be used ({counts})"
    rows = f"{report.bad} of {report.total} rows cannot be used ({counts})"
    return f"{first}. {rows}: mend them, or leave them out with skip_invalid: true"


def is_for_training(name: str) -> bool:
    """Whether a data set's file of this name holds rows to train on."""
    return is_rows(name) and name not in SIDECARS and not is_held_out(name)


def is_for_evaluation(name: str) -> bool:
    return is_rows(name) and name not in SIDECARS and is_held_out(name)


def chosen(names: Iterable[str], *, held_out: bool) -> list[str]:
    """Of a data set's files, in their order, those that hold rows to train on, or the rows that are held out.

    A test set is for the very end: it is taken only where nothing else is held out.
    """
    if not held_out:
        return list(filter(is_for_training, names))
    found = list(filter(is_for_evaluation, names))
    return [name for name in found if not is_test(name)] or found


def is_held_out(name: str) -> bool:
    """Whether a file's name says that it is for evaluation, as `eval.jsonl` and `test-00000-of-00001.parquet` do."""
    return _first_word(name) in HELD_OUT


def is_test(name: str) -> bool:
    return _first_word(name) in TESTS


def _first_word(name: str) -> str:
    return re.split(r"[-_.]", name.lower(), maxsplit=1)[0]


def held_out_files(folder: Path) -> list[Path]:
    """The files of a folder whose rows are kept from training, in the order of their names."""
    return sorted(path for path in folder.iterdir() if path.is_file() and is_for_evaluation(path.name))


def _by_count(item: tuple[str, int]) -> int:
    return -item[1]


def _identity(path: Path) -> tuple[int, int, int]:
    stat = path.stat()
    return stat.st_ino, stat.st_size, stat.st_mtime_ns


def _sha256(files_: list[FileReport]) -> str:
    if len(files_) == 1:
        return files_[0].sha256
    return hashlib.sha256("".join(file.sha256 for file in files_).encode()).hexdigest()
