"""Writing adapter.json: what a user says of an adapter, and the record of one that comes from elsewhere."""

from contextlib import suppress
from pathlib import Path

import msgspec

from state import adapters, chat_templates, safetensors, store
from state.adapters import CONFIG, RECORD, WEIGHTS, AdapterRecord, PeftConfig, find, known, record_of
from state.root import DataRoot


def describe(root: DataRoot, name: str, description: str | None, tags: list[str] | None) -> None:
    """Write what is not None to an adapter's record, durable when this returns. Keys that are the user's own stay.

    An adapter without a record gets one, of what Lathe shows for it. Raises NotFound, BrokenFile.
    """
    path = find(root, name)
    changes = known({"description": description, "tags": tags})

    def change(newest: dict[str, object] | None) -> dict[str, object]:
        if newest is None:
            newest = msgspec.to_builtins(record_of(root, path, store.read(path / CONFIG, PeftConfig)))
        return newest | changes

    with suppress(FileNotFoundError):
        store.read(path / RECORD, AdapterRecord)  # a broken one is reported, and left as it is
    store.update(path / RECORD, dict[str, object], change)


def settle(root: DataRoot, folder: Path, description: str | None) -> None:
    """Make the files of an adapter from elsewhere one of this root's: what only held there leaves its record.

    Raises BrokenFile for what could never be loaded.
    """
    peft = store.read(folder / CONFIG, PeftConfig)
    adapters.check_type(folder, peft.peft_type)
    safetensors.read_header(folder / WEIGHTS)
    chat_templates.read(folder)
    if (folder / RECORD).exists():
        store.read(folder / RECORD, AdapterRecord)
        record = store.read_as_written(folder / RECORD)
        kept = {key: value for key, value in record.items() if key not in ("job_id", "output_dir")}
    elif description is not None:
        kept = msgspec.to_builtins(record_of(root, folder, peft))
    else:
        return
    (folder / RECORD).write_bytes(store.pretty(kept | known({"description": description})))
