"""Uploaded data sets: `training_data/<name>/` with files of rows, and dataset.json (what is in them, and since when).

A folder that somebody has put there with files of rows is a data set, too, without dataset.json.
"""

import secrets
from contextlib import suppress
from datetime import datetime
from pathlib import Path

from msgspec import Struct

from state import clock, examples, folders, names, store
from state.errors import BrokenFile, NotFound, ServiceError
from state.root import DataRoot
from state.row_source import RowSource
from state.rows import files, reading
from state.rows.reading import Report

EXAMPLES = "train.jsonl"
RECORD = "dataset.json"
RECEIVING = (".upload-", ".new")  # a folder that something is received in; the next server's start clears it away


class Dataset(Struct, frozen=True, kw_only=True):
    """dataset.json."""

    version: int = 1
    dataset_name: str
    num_texts: int
    """Rows that can be used."""
    created_at: datetime
    format: str | None = None
    num_skipped: int = 0
    columns: dict[str, str] | None = None
    """Which of its columns is which of a format's."""
    skip_invalid: bool = False
    sha256: str | None = None


def save(root: DataRoot, dataset_name: str | None, texts: list[str]) -> Dataset:
    """Keep texts as a data set; as `take_in` does."""
    name = _new_name() if dataset_name is None else dataset_name
    examples.check("train_texts", texts)
    target = _target(root, name)
    with folders.appearing(target, by=secrets.token_hex(4), replacing=True) as hidden:
        examples.write_new(hidden / EXAMPLES, texts)
        dataset = Dataset(dataset_name=name, num_texts=len(texts), created_at=clock.now(), format="text")
        _finish(hidden, target, dataset)
    return dataset


def take_in(  # noqa: PLR0913  what is said of a file
    root: DataRoot,
    dataset_name: str | None,
    file: Path,
    file_name: str,
    *,
    columns: dict[str, str] | None = None,
    skip_invalid: bool = False,
) -> tuple[Dataset, Report]:
    """Make a received file a data set, replacing one of the same name. Jobs have copies: they are not touched.

    The whole folder is replaced in one step: of two uploads at once, one is what is there. What else its owner keeps
    in it stays, other files of rows excepted. `file` is moved. Raises ServiceError for rows that cannot be used.
    """
    name = _new_name() if dataset_name is None else dataset_name
    target = _target(root, name)
    with folders.appearing(target, by=secrets.token_hex(4), replacing=True) as hidden:
        kept = hidden / f"train{_ending(file_name)}"
        file.rename(kept)
        read = reading.Reading(kept, columns=columns, skip_invalid=skip_invalid)
        try:
            for _ in read.rows():
                pass
        except ServiceError as error:
            raise ServiceError(_with_problems(str(error), read.report)) from error
        report = read.report
        dataset = Dataset(
            dataset_name=name,
            num_texts=report.used,
            created_at=clock.now(),
            format=report.files[0].format,
            num_skipped=report.bad,
            columns=columns,
            skip_invalid=skip_invalid,
            sha256=report.sha256,
        )
        _finish(hidden, target, dataset)
    return dataset, report


def read(root: DataRoot, dataset_name: str) -> Dataset | None:
    """What dataset.json says; None for a data set without one. Raises NotFound, BrokenFile."""
    folder = _found(root, dataset_name)
    try:
        return store.read(folder / RECORD, Dataset)
    except FileNotFoundError:
        return None


def source(root: DataRoot, dataset_name: str) -> RowSource:
    """The rows of a data set: of all files in its folder. Raises ServiceError when there is none of this name."""
    try:
        folder = _found(root, dataset_name)
        dataset = read(root, dataset_name)
    except NotFound as error:
        raise ServiceError(str(error)) from error  # what asks for it is there, and wrong
    except BrokenFile:
        dataset = None  # its files tell what they are
    if dataset is None:
        return RowSource(dataset_name, str(folder))
    return RowSource(dataset_name, str(folder), columns=dataset.columns, skip_invalid=dataset.skip_invalid)


def located(root: DataRoot, dataset_name: str) -> RowSource:
    """The rows of a data set that a URL names. Raises NotFound."""
    _found(root, dataset_name)
    return source(root, dataset_name)


def inspect(root: DataRoot, dataset_name: str) -> Report:
    """Read all rows of a data set, and say what was found. Raises NotFound; ServiceError for an unreadable file."""
    _found(root, dataset_name)
    found = source(root, dataset_name)
    read = reading.Reading(Path(found.path or ""), columns=found.columns, skip_invalid=True)
    try:
        for _ in read.rows():
            pass
    except ServiceError:
        if not read.report.total:
            raise  # nothing can be told of it; else no row can be used, which the report says
    return read.report


def remove(root: DataRoot, dataset_name: str) -> None:
    """Remove a data set's folder: gone from every list in one rename, then its bytes. Raises NotFound."""
    folders.vanish(_found(root, dataset_name))


def rename(root: DataRoot, dataset_name: str, new_name: str) -> None:
    """Give a data set another name, in one step; then its dataset.json says it, too. Jobs have copies.

    A folder's name is what a data set is called, whatever its dataset.json says: one that was renamed by hand, or by a
    server that was killed before the last step. Raises NotFound; ServiceError for a name that it cannot have.
    """
    folder, target = _found(root, dataset_name), _target(root, new_name)
    if target != folder:
        try:
            folders.rename(folder, target)
        except folders.Taken as error:
            raise ServiceError(
                f"dataset_name {new_name!r} is taken: choose another, or delete that data set first"
            ) from error
    with suppress(FileNotFoundError, BrokenFile):  # there is none, or it is left as it is
        own = store.read_as_written(target / RECORD)
        store.update(target / RECORD, dict[str, object], lambda newest: (newest or own) | {"dataset_name": new_name})


def all_names(root: DataRoot) -> list[str]:
    """Every data set's, in alphabetical order."""
    return sorted(path.name for path in root.training_data.iterdir() if _is_dataset(root, path))


def _found(root: DataRoot, dataset_name: str) -> Path:
    names.check("dataset_name", dataset_name)
    folder = root.training_data / dataset_name
    if not _is_dataset(root, folder):
        raise NotFound(f"Dataset {dataset_name} not found: upload it with POST /api/training/data/upload")
    return folder


def _is_dataset(root: DataRoot, folder: Path) -> bool:
    if not (names.is_valid(folder.name) and folder.is_dir() and root.holds(folder)):
        return False
    try:
        found = list(folder.iterdir())
    except OSError:  # it went just now, or may not be looked into
        return False
    return any(_are_training_rows(path.name) for path in found) and all(root.holds(path) for path in found)


def _new_name() -> str:
    return f"dataset-{clock.now():%Y%m%d-%H%M%S}-{secrets.token_hex(2)}"


def _target(root: DataRoot, dataset_name: str) -> Path:
    names.check("dataset_name", dataset_name)
    target = root.training_data / dataset_name
    if not root.holds(target):
        raise ServiceError(f"dataset_name {dataset_name!r} is a link out of the data root")
    return target


def _finish(hidden: Path, target: Path, dataset: Dataset) -> None:
    (hidden / RECORD).write_bytes(store.pretty(dataset))
    with suppress(FileNotFoundError):  # there was none, or somebody else replaces it
        folders.copy_by_links(target, hidden, except_for=_are_training_rows)


def _are_training_rows(name: str) -> bool:
    return files.is_rows(name) and name not in reading.SIDECARS and not reading.is_held_out(name)


def _ending(file_name: str) -> str:
    """Of a file's name, such as `.csv.gz`. Raises ServiceError for a name that is of no kind that is read."""
    files.kind_of(file_name)
    bare = file_name.lower().removesuffix(files.GZIP)
    return Path(bare).suffix + (files.GZIP if file_name.lower() != bare else "")


def _with_problems(sentence: str, report: Report) -> str:
    """The first problems, by line, behind the sentence."""
    return "\n".join([sentence, *map(str, report.problems)]) if len(report.problems) > 1 else sentence
