"""The adapter that a job goes on from: `init_adapter` names it, and the job's folder holds a copy of its files.

What happens to the original after that does not matter: it may be deleted, renamed or trained anew. The copy:

    adapter_config.json, adapter_model.safetensors   as they were
    adapter.json, chat_template.jinja                as they were, where there were any
    origin.json    the adapter's name, and the SHA-256 of its weights
"""

import hashlib
import shutil
from collections.abc import Collection
from pathlib import Path

import msgspec
from msgspec import Struct, structs

from state import adapters, chat_templates, folders, saved_modules, store
from state.adapters import CONFIG, RECORD, WEIGHTS, AdapterRecord, ChatSettings, Origin
from state.config import ALL_LINEAR, LoraConfig, resolved_target_modules
from state.errors import ServiceError

ORIGIN = "origin.json"
OF_NO_SHAPE = frozenset({"lora_dropout", "task_type"})
"""What a job may set otherwise than the adapter was trained with."""
OF_NO_MATTER = frozenset(
    {
        *("auto_mapping", "base_model_name_or_path", "inference_mode", "peft_type", "peft_version", "revision"),
        *("init_lora_weights", "corda_config", "eva_config", "loftq_config", "lora_ga_config"),  # of the beginning only
        *("fan_in_fan_out", "megatron_core", "qalora_group_size", "runtime_config"),  # of the base, or of other fields
    }
)
"""Fields of an adapter_config.json that do not change what an adapter's matrices do."""


class Source(Struct, frozen=True):
    """An adapter that is gone on from, by the name that was asked for."""

    name: str
    files: Path
    """The folder of its two files."""
    record: Path
    """The folder of the files that say how it is asked."""


def copy(adapter: Source, into: Path) -> None:
    """Copy an adapter's files to a folder that appears complete or not at all, in place of an older one.

    Raises ServiceError when the adapter goes or changes meanwhile.
    """
    try:
        before = _identity(adapter.files)
        with folders.appearing(into, replacing=True) as hidden:
            for name in (CONFIG, WEIGHTS):
                shutil.copyfile(adapter.files / name, hidden / name)
            for name in (RECORD, chat_templates.FILE):
                if (adapter.record / name).exists():
                    shutil.copyfile(adapter.record / name, hidden / name)
            with (hidden / WEIGHTS).open("rb") as weights:
                sha256 = hashlib.file_digest(weights, "sha256").hexdigest()
            (hidden / ORIGIN).write_bytes(store.pretty(Origin(name=adapter.name, sha256=sha256)))
            if _identity(adapter.files) != before:
                raise FileNotFoundError  # noqa: TRY301  what was copied is gone by now
    except FileNotFoundError:
        raise ServiceError(f"init_adapter {adapter.name} changed while it was copied: start the job again") from None


def origin(copied: Path) -> Origin:
    """Whose copy it is. Raises FileNotFoundError, BrokenFile."""
    return store.read(copied / ORIGIN, Origin)


def chat(adapter: Path) -> ChatSettings:
    """How the adapter in this folder is asked. Raises BrokenFile."""
    template = chat_templates.read(adapter)
    try:
        found = store.read(adapter / RECORD, AdapterRecord).chat
    except FileNotFoundError:
        return ChatSettings(template=template)
    return structs.replace(found, template=template or found.template)


def shape(adapter: Path, name: str, wanted: LoraConfig | None, present: set[str]) -> LoraConfig:
    """The LoRA settings of a job that goes on from the adapter in this folder: the adapter's own.

    `wanted` are the job's, where it has any; `present` are the names that target_modules may have on this base. Raises
    ServiceError where the job wants another shape, or the adapter is of a shape that Lathe does not train.
    """
    own = _read(adapter, name, present)
    if wanted is None:
        return own
    if saved_modules.are_meant(wanted.modules_to_save or (), own.modules_to_save or ()):
        own = structs.replace(own, modules_to_save=wanted.modules_to_save)  # the adapter has the full names
    for field in structs.fields(LoraConfig):
        if field.name in OF_NO_SHAPE:
            continue
        asked, found = (_value(config, field.name, present, name) for config in (wanted, own))
        if asked != found:
            raise ServiceError(
                f"lora_config.{field.name} is {_shown(asked)}, and init_adapter {name} has {_shown(found)}: "
                "leave lora_config out to take the adapter's own"
            )
    return structs.replace(own, lora_dropout=wanted.lora_dropout)


def _identity(adapter: Path) -> list[tuple[int, int, int]]:
    """Of its two files; another list when one of them is another one."""
    stats = [(adapter / name).stat() for name in (CONFIG, WEIGHTS)]
    return [(stat.st_ino, stat.st_size, stat.st_mtime_ns) for stat in stats]


def _read(adapter: Path, name: str, present: Collection[str]) -> LoraConfig:
    file = adapter / CONFIG
    written = store.read_as_written(file)
    adapters.check_type(adapter, str(written.get("peft_type")))
    known = {field.name for field in structs.fields(LoraConfig)}
    beyond = sorted(key for key, value in written.items() if value and key not in known | OF_NO_MATTER)
    if beyond:
        raise ServiceError(
            f"init_adapter {name} cannot be trained further: its {CONFIG} has {beyond[0]}, which Lathe does not train"
        )
    targets = written.get("target_modules")
    others = [repr(targets)] if isinstance(targets, str) else sorted({*(targets or ())} - {*present})  # type: ignore[misc]
    if others and targets != ALL_LINEAR:
        raise ServiceError(
            f"init_adapter {name} cannot be trained further: its target_modules has {others[0]}, "
            f"and here layers are named as {', '.join(sorted(present))}"
        )
    try:
        return msgspec.convert({key: _whole(value) for key, value in written.items() if key in known}, LoraConfig)
    except msgspec.ValidationError as error:
        raise ServiceError(f"init_adapter {name} cannot be trained further: {CONFIG}: {error}") from error


def _whole(value: object) -> object:
    """An alpha of 16.0 is one of 16."""
    return int(value) if isinstance(value, float) and value.is_integer() else value


def _value(config: LoraConfig, field: str, present: set[str], name: str) -> object:
    if field == "target_modules":
        return sorted(resolved_target_modules(config, present, name))
    value = getattr(config, field)
    return sorted(value) if isinstance(value, list) else value or None


def _shown(value: object) -> str:
    return msgspec.json.encode(value).decode()
