"""An adapter is a folder, `adapters/<name>/`, in PEFT's own layout, with Lathe's record beside the weights.

adapter_config.json, adapter_model.safetensors   PEFT's; every tool reads them
README.md      the model card
adapter.json   Lathe's record; absent in an adapter that came from elsewhere
chat_template.jinja   how conversations become prompts, where it is not the base model's own template that does it
"""

import os
from datetime import datetime
from pathlib import Path
from typing import Annotated

from msgspec import Meta, Struct, structs

from state import chat_templates, clock, folders, models, names, stamps, store
from state.errors import BrokenFile, NotFound
from state.root import DataRoot

VERSION = 1
CONFIG = "adapter_config.json"
WEIGHTS = "adapter_model.safetensors"
RECORD = "adapter.json"


class Results(Struct, kw_only=True, frozen=True):
    """What the training ended with. `final_loss` is the last logged training loss."""

    final_loss: float | None = None
    eval_loss: float | None = None
    """Of these weights."""
    best_step: int | None = None
    """The step after which the weights were as they are, where those of the lowest evaluation loss were to be kept."""
    training_steps: int | None = None
    """How many were taken in all."""
    training_time_minutes: float | None = None


class ChatSettings(Struct, kw_only=True, frozen=True):
    """How an adapter that has learned conversations is asked: as it was when it was trained."""

    template: str | None = None
    """None: the model's own. On the disk it is chat_template.jinja, and None in adapter.json."""
    switches: dict[str, bool] = {}
    """What the template is told, such as `enable_thinking`."""
    stop_tokens: list[str] = []
    """Tokens that end its answers, beside those at which the model stops by itself."""


class Origin(Struct, kw_only=True, frozen=True):
    """The adapter that a training went on from."""

    name: str
    """As it was called then."""
    sha256: str
    """Of its weights' file."""


class AdapterRecord(Struct, kw_only=True, frozen=True):
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
    chat: ChatSettings = ChatSettings()
    init_adapter: Origin | None = None


class Adapter(Struct, kw_only=True, frozen=True):
    """An adapter as it lies in its folder."""

    name: str
    path: Path
    model_name: str
    created_at: datetime
    size_mb: float
    description: str
    tags: list[str]
    training_config: dict[str, object]
    metrics: Results
    chat: ChatSettings
    job_id: str | None = None
    """The job that made it; None of one from elsewhere."""
    init_adapter: Origin | None = None
    fingerprint: tuple[tuple[str, int, int], ...]
    """Name, size and time of change of the files that make the model: another fingerprint is another adapter."""
    problem: str | None
    """Why it cannot be loaded, as far as its files tell; None when nothing is wrong."""


class PeftConfig(Struct):
    """The part of adapter_config.json that Lathe shows."""

    base_model_name_or_path: str | None = None
    r: int | None = None
    lora_alpha: float | None = None
    lora_dropout: float | None = None
    peft_type: str | None = None


def check_type(folder: Path, peft_type: str | None) -> None:
    """Raise BrokenFile for an adapter of a kind that Lathe cannot load; `peft_type` is its adapter_config.json's."""
    if peft_type != "LORA":
        raise BrokenFile(folder / CONFIG, f"peft_type is {peft_type}, and only LORA is supported")


def all_names(root: DataRoot) -> set[str]:
    """The name of everything in `adapters/` that could be an adapter; `find` tells whether it is one."""
    return {name for name in folders.names_in(root.adapters) if names.is_valid(name)}


def all_folders(root: DataRoot) -> list[Path]:
    """Every adapter's folder: one with an adapter_config.json, whatever else it holds."""
    return [root.adapters / name for name in all_names(root) if _is_adapter(root, root.adapters / name)]


def find(root: DataRoot, name: str) -> Path:
    """The folder of an adapter, readable or not. Raises NotFound."""
    path = root.adapters / name
    if not names.is_valid(name) or not _is_adapter(root, path):
        raise NotFound(f"Adapter {name} not found")
    return path


def stamp(folder: str) -> int:
    """Another number whenever one of the adapter's files is another (`state/stamps.py`)."""
    return stamps.of(folder, (".", CONFIG, WEIGHTS, RECORD, chat_templates.FILE))


def is_taken(root: DataRoot, name: str) -> bool:
    return os.path.lexists(root.adapters / name)


def read(root: DataRoot, path: Path) -> Adapter:
    """Read one adapter's folder. What is unreadable in it becomes `problem`. Raises FileNotFoundError when it goes."""
    problem = None
    peft, record, template = PeftConfig(), None, None
    try:
        peft = store.read(path / CONFIG, PeftConfig)
    except BrokenFile as error:
        problem = str(error)
    try:
        record = store.read(path / RECORD, AdapterRecord)
    except FileNotFoundError:
        pass
    except BrokenFile as error:
        problem = problem or str(error)
    try:
        template = chat_templates.read(path)
    except BrokenFile as error:
        problem = problem or str(error)
    if not (path / WEIGHTS).exists():
        problem = problem or f"{path.name}/{WEIGHTS} is missing (pickled weights are not loaded)"
    if record is None:
        record = record_of(root, path, peft)
    return Adapter(
        name=path.name,
        path=path,
        model_name=record.model_name,
        created_at=clock.aware(record.created_at),
        size_mb=_size_mb(path),
        description=record.description,
        tags=record.tags,
        training_config=record.training_config,
        metrics=record.metrics,
        chat=structs.replace(record.chat, template=template or record.chat.template),
        job_id=record.job_id,
        init_adapter=record.init_adapter,
        fingerprint=_fingerprint(path),
        problem=problem,
    )


def unreadable(path: Path, problem: str) -> Adapter:
    """An adapter of which nothing can be told but what is wrong."""
    return Adapter(
        name=path.name,
        path=path,
        model_name="",
        created_at=clock.changed(path.stat()),
        size_mb=0.0,
        description="",
        tags=[],
        training_config={},
        metrics=Results(),
        chat=ChatSettings(),
        fingerprint=(),
        problem=problem,
    )


def record_of(root: DataRoot, path: Path, peft: PeftConfig) -> AdapterRecord:
    """What Lathe shows for an adapter that has no record."""
    return AdapterRecord(
        model_name=_base_name(root, peft.base_model_name_or_path),
        created_at=clock.changed((path / CONFIG).stat()),
        training_config=known({"r": peft.r, "lora_alpha": peft.lora_alpha, "lora_dropout": peft.lora_dropout}),
    )


def _is_adapter(root: DataRoot, path: Path) -> bool:
    return names.is_valid(path.name) and folders.has(path, CONFIG) and root.holds_entry(path)


def _base_name(root: DataRoot, base: str | None) -> str:
    """The model name that Lathe knows a PEFT config's base by: a folder's own name where the path ends in it."""
    if base is None:
        return ""
    last = base.rstrip("/\\").replace("\\", "/").rsplit("/", 1)[-1]
    try:
        found = models.resolve(root, last)
        if found is not None and found.kind == "folder":
            return last
        return next((alias for alias, hub_id in models.aliases(root).items() if hub_id == base), base)
    except (BrokenFile, OSError):
        return base  # models/ has a problem of its own, which is told where a model is asked for


def known(figures: dict[str, object]) -> dict[str, object]:
    return {name: figure for name, figure in figures.items() if figure is not None}


def _size_mb(path: Path) -> float:
    return round(_size(str(path)) / 1e6, 3)


def _size(folder: str) -> int:
    """The bytes of all files in it and below; hidden ones are temporary."""
    with os.scandir(folder) as found:
        shown = [entry for entry in found if not entry.name.startswith(".")]
    files = (entry.stat().st_size for entry in shown if entry.is_file())
    return sum(files) + sum(_size(entry.path) for entry in shown if entry.is_dir(follow_symlinks=False))


def _fingerprint(path: Path) -> tuple[tuple[str, int, int], ...]:
    found = []
    for name in (CONFIG, WEIGHTS):
        file = path / name
        if file.exists():
            stat = file.stat()
            found.append((name, stat.st_size, stat.st_mtime_ns))
    return tuple(found)
