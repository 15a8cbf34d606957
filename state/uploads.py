"""Taking in data sets: `training_data/<name>/` as uploads make it and replace it, whole and in one step."""

import secrets
import shutil
import threading
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path
from tempfile import TemporaryDirectory

from state import clock, examples, folders, store, training_data
from state.errors import ServiceError
from state.root import DataRoot
from state.row_source import RECORD, RowSource
from state.rows import files, formats, reading, row
from state.rows.reading import Report
from state.rows.row import Text
from state.training_data import Dataset

TRAIN = "train"
HELD_OUT = "eval"
"""What the files of rows are called, before their endings."""

_completing = threading.Lock()  # uploads are one server's alone: this needs no lock on the disk


def save(root: DataRoot, dataset_name: str | None, texts: list[str], eval_texts: list[str] | None = None) -> Dataset:
    """Keep texts as a data set; as `take_in` does, and as `take_in_held_out` where there are texts for evaluation."""
    name = _new_name() if dataset_name is None else dataset_name
    examples.check("train_texts", texts)
    if eval_texts is not None:
        examples.check("eval_texts", eval_texts)
    replaced = reading.is_for_training if eval_texts is None else _is_for_jobs
    with _replacing(training_data.target(root, name), replaced) as hidden:
        _write_texts(hidden / f"{TRAIN}.jsonl", texts)
        if eval_texts is not None:
            _write_texts(hidden / f"{HELD_OUT}.jsonl", eval_texts)
        dataset = Dataset(dataset_name=name, num_texts=len(texts), created_at=clock.now(), format="text")
        (hidden / RECORD).write_bytes(store.pretty(dataset))
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
    in it stays, other files of rows to train on excepted. `file` is moved. Raises ServiceError for rows that cannot be
    used.
    """
    name = _new_name() if dataset_name is None else dataset_name
    with _replacing(training_data.target(root, name), reading.is_for_training) as hidden:
        report = moved_in(file, hidden / f"{TRAIN}{files.ending_of(file_name)}", columns, skip_invalid=skip_invalid)
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
        (hidden / RECORD).write_bytes(store.pretty(dataset))
    return dataset, report


def take_in_held_out(root: DataRoot, dataset_name: str, file: Path, file_name: str) -> Report:
    """Make a received file the rows that a data set keeps from training, in the place of those that it had.

    It is read as the data set's own files are: their columns and `skip_invalid` hold for it, too. A test set that its
    owner has put there stays. `file` is moved. Raises ServiceError for an unknown data set, and for rows that cannot be
    used.
    """
    found = training_data.source(root, dataset_name)
    target = training_data.target(root, dataset_name)
    with _replacing(target, _is_evaluated_on, only_if=found) as hidden:
        kept = hidden / f"{HELD_OUT}{files.ending_of(file_name)}"
        return moved_in(file, kept, found.columns, skip_invalid=found.skip_invalid)


@contextmanager
def receiving(root: DataRoot) -> Iterator[Path]:
    """Give a file to receive something in. What is left of it is removed: by the next server's start at the latest."""
    root.create()
    with TemporaryDirectory(dir=root.training_data, prefix=".upload-", suffix=".new") as folder:
        yield Path(folder) / "file"


def check(root: DataRoot, dataset_name: str | None, file_name: str | None, columns: dict[str, str] | None) -> None:
    """Raise ServiceError for what an upload says of its file, where no file could be taken in with that."""
    if dataset_name is not None:
        training_data.target(root, dataset_name)
    if file_name is not None:
        files.kind_of(file_name)
    formats.Detector(columns)


@contextmanager
def _replacing(target: Path, is_replaced: Callable[[str], bool], only_if: RowSource | None = None) -> Iterator[Path]:
    """Give a hidden folder to fill. It gets what else is in `target`, replaced files excepted, and takes its place.

    These last steps one upload at a time: of two that bring different files, the later one finds what the earlier one
    has brought. `only_if` is the data set that must still be there then. Raises ServiceError where it is not.
    """
    target.parent.mkdir(exist_ok=True)
    with ExitStack() as alone, folders.appearing(target, by=secrets.token_hex(4), replacing=True) as hidden:
        yield hidden
        alone.enter_context(_completing)
        if only_if is not None:
            only_if.check_identity()
        with suppress(FileNotFoundError, shutil.Error):  # there is none, or it is being deleted
            folders.copy_by_links(target, hidden, except_for=is_replaced)


def moved_in(file: Path, target: Path, columns: dict[str, str] | None = None, *, skip_invalid: bool = False) -> Report:
    """Move a file of rows and read all of it. Raises ServiceError with the first problems by line."""
    file.rename(target)
    read = reading.Reading(target, columns=columns, skip_invalid=skip_invalid)
    try:
        for _ in read.rows():
            pass
    except ServiceError as error:
        raise ServiceError(_with_problems(str(error), read.report)) from error
    return read.report


def _write_texts(file: Path, texts: list[str]) -> None:
    file.write_bytes(b"".join(row.encode(Text(text)) + b"\n" for text in texts))


def _is_evaluated_on(name: str) -> bool:
    """Whether jobs are evaluated on a file's rows, whatever else is there."""
    return reading.is_for_evaluation(name) and not reading.is_test(name)


def _is_for_jobs(name: str) -> bool:
    return reading.is_for_training(name) or _is_evaluated_on(name)


def _new_name() -> str:
    return f"dataset-{clock.now():%Y%m%d-%H%M%S}-{secrets.token_hex(2)}"


def _with_problems(sentence: str, report: Report) -> str:
    """The first problems, by line, behind the sentence."""
    return "\n".join([sentence, *map(str, report.problems)]) if len(report.problems) > 1 else sentence
