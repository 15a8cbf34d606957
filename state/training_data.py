"""Uploaded data sets: `training_data/<name>/` with files of rows, and dataset.json (what is in them, and since when).

A folder that somebody has put there with files of rows is a data set, too, without dataset.json.
"""

from contextlib import suppress
from datetime import datetime
from pathlib import Path

from msgspec import Struct, structs

from state import folders, names, row_source, store
from state.errors import BrokenFile, NotFound, ServiceError
from state.root import DataRoot
from state.row_source import RECORD, RowSource
from state.rows import reading
from state.rows.reading import Report


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
        identity = row_source.identity_of(folder)
        dataset = read(root, dataset_name)
    except NotFound as error:
        raise ServiceError(str(error)) from error  # what asks for it is there, and wrong
    except BrokenFile:
        dataset = None  # its files tell what they are
    found = RowSource(dataset_name, str(folder), identity=identity)
    if dataset is None:
        return found
    return structs.replace(found, columns=dataset.columns, skip_invalid=dataset.skip_invalid)


def held_out(root: DataRoot, dataset_name: str) -> RowSource | None:
    """The rows that a data set keeps from training, in files named so; None where it has none. Raises as `source`."""
    found = source(root, dataset_name)
    try:
        files = [path.name for path in Path(found.path or "").iterdir() if path.is_file()]
    except FileNotFoundError as error:
        raise ServiceError(f"{dataset_name} was deleted just now") from error
    if not reading.chosen(files, held_out=True):
        return None
    or_else = 'To do without these evaluation rows, give "eval_texts": []'
    return structs.replace(found, name=f"{dataset_name} (held out)", held_out=True, or_else=or_else)


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
    folder, place = _found(root, dataset_name), target(root, new_name)
    if place != folder:
        try:
            folders.rename(folder, place)
        except folders.Taken as error:
            raise ServiceError(
                f"dataset_name {new_name!r} is taken: choose another, or delete that data set first"
            ) from error
    with suppress(FileNotFoundError, BrokenFile):  # there is none, or it is left as it is
        own = store.read_as_written(place / RECORD)
        store.update(place / RECORD, dict[str, object], lambda newest: (newest or own) | {"dataset_name": new_name})


def all_names(root: DataRoot) -> list[str]:
    """Every data set's, in alphabetical order."""
    return sorted(name for name in folders.names_in(root.training_data) if _is_dataset(root, root.training_data / name))


def target(root: DataRoot, dataset_name: str) -> Path:
    """The folder of a data set, be there one or not. Raises ServiceError for a name that cannot be used."""
    names.check_dataset("dataset_name", dataset_name)
    folder = root.training_data / dataset_name
    if not root.holds(folder):
        raise ServiceError(f"dataset_name {dataset_name!r} is a link out of the data root")
    return folder


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
    return any(reading.is_for_training(path.name) for path in found) and all(root.holds(path) for path in found)
