"""An adapter is a folder, `adapters/<name>/`, in PEFT's own layout, with Lathe's record beside the weights.

adapter_config.json, adapter_model.safetensors   PEFT's; every tool reads them
README.md      the model card
adapter.json   Lathe's record; absent in an adapter that came from elsewhere
"""

import errno
import os
import shutil
from contextlib import suppress
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated

import msgspec
from msgspec import Meta, Struct

from state import folders, models, names, store
from state.errors import BrokenFile, NotFound, ServiceError
from state.root import DataRoot

VERSION = 1
CONFIG = "adapter_config.json"
WEIGHTS = "adapter_model.safetensors"
RECORD = "adapter.json"


class NameTaken(ServiceError):
    """Another adapter has the name."""


class Results(Struct, kw_only=True, frozen=True):
    """What the training ended with. `final_loss` is the last logged training loss."""

    final_loss: float | None = None
    eval_loss: float | None = None
    training_steps: int | None = None
    training_time_minutes: float | None = None


class Record(Struct, kw_only=True, frozen=True):
    """adapter.json."""

    version: Annotated[int, Meta(ge=1, le=VERSION)] = VERSION
    model_name: str
    created_at: datetime
    description: str = ""
    tags: list[str] = []
    job_id: str | None = None
    output_dir: str | None = None
    """A second place of the same files, as the job's `output_dir` asked."""
    training_config: dict[str, object] = {}
    metrics: Results = Results()


class Adapter(Struct, kw_only=True, frozen=True):
    """An adapter as it lies in its folder."""

    name: str
    path: Path
    model_name: str
    created_at: datetime
    size_mb: float
    description: str
    tags: list[str]
    job_id: str | None
    training_config: dict[str, object]
    metrics: Results
    fingerprint: tuple[tuple[str, int, int], ...]
    """Name, size and time of change of the files that make the model: another fingerprint is another adapter."""
    problem: str | None
    """Why it cannot be loaded, as far as its files tell; None when nothing is wrong."""


class _PeftConfig(Struct):
    """The part of adapter_config.json that Lathe shows."""

    base_model_name_or_path: str | None = None
    r: int | None = None
    lora_alpha: float | None = None
    lora_dropout: float | None = None
    peft_type: str | None = None


def all_folders(root: DataRoot) -> list[Path]:
    """Every adapter's folder: one with an adapter_config.json, whatever else it holds."""
    return [path for path in root.adapters.iterdir() if _is_adapter(root, path)]


def find(root: DataRoot, name: str) -> Path:
    """The folder of an adapter. Raises NotFound."""
    path = root.adapters / name
    if not names.is_valid(name) or not _is_adapter(root, path):
        raise NotFound(f"Adapter {name} not found")
    return path


def is_taken(root: DataRoot, name: str) -> bool:
    return os.path.lexists(root.adapters / name)


def read(root: DataRoot, path: Path) -> Adapter:
    """Read one adapter's folder. What is unreadable in it becomes `problem`. Raises FileNotFoundError when it goes."""
    problem = None
    peft, record = _PeftConfig(), None
    try:
        peft = store.read(path / CONFIG, _PeftConfig)
    except BrokenFile as error:
        problem = str(error)
    try:
        record = store.read(path / RECORD, Record)
    except FileNotFoundError:
        pass
    except BrokenFile as error:
        problem = problem or str(error)
    if not (path / WEIGHTS).exists():
        problem = problem or f"{path.name}/{WEIGHTS} is missing (pickled weights are not loaded)"
    if record is None:
        record = _record_of(root, path, peft)
    return Adapter(
        name=path.name,
        path=path,
        model_name=record.model_name,
        created_at=record.created_at,
        size_mb=_size_mb(path),
        description=record.description,
        tags=record.tags,
        job_id=record.job_id,
        training_config=record.training_config,
        metrics=record.metrics,
        fingerprint=_fingerprint(path),
        problem=problem,
    )


def place(built: Path, target: Path, job_id: str) -> None:
    """Make `target` a second name of the files in `built`: hard links where the file system has them, else copies.

    Complete or not at all. Raises NameTaken when `target` exists, also when it came into being meanwhile.
    """
    if os.path.lexists(target):
        raise NameTaken(f"{target.parent.name}/{target.name} exists already")
    target.parent.mkdir(parents=True, exist_ok=True)
    try:
        with folders.appearing(target, by=job_id) as hidden:
            shutil.copytree(built, hidden, copy_function=_link_or_copy, dirs_exist_ok=True)
    except OSError as error:
        if error.errno in (errno.EEXIST, errno.ENOTEMPTY, errno.ENOTDIR):
            raise NameTaken(f"{target.parent.name}/{target.name} exists already") from error
        raise


def describe(root: DataRoot, name: str, description: str | None, tags: list[str] | None) -> None:
    """Write what is not None to an adapter's record, durable when this returns. Keys that are the user's own stay.

    An adapter without a record gets one, of what Lathe shows for it. Raises NotFound, BrokenFile.
    """
    path = find(root, name)
    changes = _known({"description": description, "tags": tags})

    def change(newest: dict[str, object] | None) -> dict[str, object]:
        if newest is None:
            newest = msgspec.to_builtins(_record_of(root, path, store.read(path / CONFIG, _PeftConfig)))
        return newest | changes

    with suppress(FileNotFoundError):
        store.read(path / RECORD, Record)  # a broken one is reported, and left as it is
    store.update(path / RECORD, dict[str, object], change)


def settle(root: DataRoot, folder: Path, description: str | None) -> None:
    """Make the files of an adapter from elsewhere one of this root's: what only held there leaves its record.

    Raises BrokenFile for what could never be loaded.
    """
    peft = store.read(folder / CONFIG, _PeftConfig)
    if peft.peft_type != "LORA":
        raise BrokenFile(folder / CONFIG, f"peft_type is {peft.peft_type}, and only LORA is supported")
    models.read_header(folder / WEIGHTS)
    if (folder / RECORD).exists():
        store.read(folder / RECORD, Record)
        record = store.read_as_written(folder / RECORD)
        kept = {key: value for key, value in record.items() if key not in ("job_id", "output_dir")}
    elif description is not None:
        kept = msgspec.to_builtins(_record_of(root, folder, peft))
    else:
        return
    (folder / RECORD).write_bytes(store.pretty(kept | _known({"description": description})))


def rename(root: DataRoot, name: str, new_name: str) -> None:
    """Give an adapter another name, and its copy in the job's `output_dir` too.

    Raises NotFound, NameTaken; ServiceError when the file system refuses.
    """
    path = find(root, name)
    copy = _copy_in_output_dir(root, name, _record_in(path))
    moves = [(folder, folder.with_name(new_name)) for folder in (copy, path) if folder is not None]
    for _, target in moves:
        if os.path.lexists(target):
            raise NameTaken(f"{target.parent.name}/{target.name} exists already")
    try:
        for folder, target in moves:  # the copy first: a renaming that was cut off can be asked for again
            folder.rename(target)
            store.flush(target.parent)
    except OSError as error:
        raise ServiceError(f"Failed to rename adapter {name}: {error.strerror or error}") from error


def remove(root: DataRoot, name: str) -> None:
    """Delete an adapter and every other name of its bytes: in its job's folder and in the job's `output_dir`.

    Raises NotFound; ServiceError when the file system refuses.
    """
    path = find(root, name)
    record = _record_in(path)
    try:
        if record is not None and record.job_id is not None and names.is_valid(record.job_id):
            _remove_second_names(root, name, record)
        folders.vanish(path)  # last: a deletion that was cut off can be asked for again
    except OSError as error:
        raise ServiceError(f"Failed to delete adapter {name}: {error.strerror or error}") from error


def _remove_second_names(root: DataRoot, name: str, record: Record) -> None:
    job = root.training_jobs / f"job_{record.job_id}"
    if not job.exists():
        job = root.training_jobs / str(record.job_id)
    for folder in (job / "adapter", job / "checkpoints"):
        if folder.is_dir() and root.holds(folder):
            folders.vanish(folder)
    copy = _copy_in_output_dir(root, name, record)
    if copy is not None:
        folders.vanish(copy)


def belongs_to(folder: Path, job_id: str | None) -> bool:
    """Whether the adapter in this folder was made by this job."""
    record = _record_in(folder)
    return record is not None and record.job_id == job_id


def _copy_in_output_dir(root: DataRoot, name: str, record: Record | None) -> Path | None:
    """The second place of an adapter that a job's `output_dir` asked for, where it still is one."""
    if record is None or record.job_id is None or record.output_dir is None:
        return None
    copy = (root.path / record.output_dir / name).resolve()
    return copy if root.holds(copy) and belongs_to(copy, record.job_id) else None


def _record_in(folder: Path) -> Record | None:
    """The record, where there is one that can be read."""
    try:
        return store.read(folder / RECORD, Record)
    except (FileNotFoundError, BrokenFile):
        return None


def _record_of(root: DataRoot, path: Path, peft: _PeftConfig) -> Record:
    """What Lathe shows for an adapter that has no record."""
    return Record(
        model_name=_base_name(root, peft.base_model_name_or_path),
        created_at=datetime.fromtimestamp((path / CONFIG).stat().st_mtime, UTC),
        training_config=_known({"r": peft.r, "lora_alpha": peft.lora_alpha, "lora_dropout": peft.lora_dropout}),
    )


def _is_adapter(root: DataRoot, path: Path) -> bool:
    return names.is_valid(path.name) and path.is_dir() and root.holds(path) and (path / CONFIG).is_file()


def _base_name(root: DataRoot, base: str | None) -> str:
    """The model name that Lathe knows a PEFT config's base by: a folder's own name where the path ends in it."""
    if base is None:
        return ""
    last = base.rstrip("/\\").replace("\\", "/").rsplit("/", 1)[-1]
    found = models.resolve(root, last)
    if found is not None and found.kind == "folder":
        return last
    return next((alias for alias, hub_id in models.aliases(root).items() if hub_id == base), base)


def _known(figures: dict[str, object]) -> dict[str, object]:
    return {name: figure for name, figure in figures.items() if figure is not None}


def _size_mb(path: Path) -> float:
    files = (file for file in path.rglob("*") if file.is_file() and not file.name.startswith("."))
    total = sum(file.stat().st_size for file in files)
    return round(total / 1e6, 3)


def _fingerprint(path: Path) -> tuple[tuple[str, int, int], ...]:
    found = []
    for name in (CONFIG, WEIGHTS):
        file = path / name
        if file.exists():
            stat = file.stat()
            found.append((name, stat.st_size, stat.st_mtime_ns))
    return tuple(found)


def _link_or_copy(source: str, target: str) -> None:
    try:
        os.link(source, target)
    except OSError:
        shutil.copy2(source, target)
