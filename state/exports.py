"""An export is a folder, `<output_dir>/<adapter>-<format>/`, for other programs, with a record of what it is.

export.json tells whose it is: only an export is replaced by one.
"""

import os
import re
from datetime import datetime
from pathlib import Path

from msgspec import Struct

from state import clock, folders, store
from state.errors import BrokenFile, ServiceError
from state.root import DataRoot

RECORD = "export.json"
BY = "export"  # in the hidden name of what is half made
_LEFT = re.compile(rf"\.(?P<name>.+)\.(?:(?P<begun>{BY}\.new)|replaced)")


class ExportRecord(Struct, frozen=True, kw_only=True):
    """export.json."""

    adapter_name: str
    model_name: str
    format: str
    created_at: datetime


def sweep(root: DataRoot) -> None:
    """Clear away what exports that were killed left in `exports/`; the one that was to be replaced is there again.

    Only while nobody exports. Everything else in there is the user's, whatever its name.
    """
    if root.exports.is_dir():
        for path in list(root.exports.iterdir()):
            left = _LEFT.fullmatch(path.name)
            if left is not None and (left["begun"] or (path / RECORD).exists()):
                folders.abandon(path.with_name(left["name"]), BY)


def folder_of(root: DataRoot, adapter_name: str, export_format: str, output_dir: str | None) -> Path:
    """The folder that an export will be. Raises ServiceError when it may not be made, or is something else already."""
    parent = root.exports if output_dir is None else root.output_folder(output_dir)
    target = parent / f"{adapter_name.replace(':', '-')}-{export_format}"  # a checkpoint's colon is none of a file's
    if os.path.lexists(target) and not _is_export(target, adapter_name, export_format):
        raise ServiceError(f"{root.shown(target)} exists and is no such export: move it away, or choose an output_dir")
    return target


def write_record(folder: Path, adapter_name: str, model_name: str, export_format: str) -> None:
    record = ExportRecord(
        adapter_name=adapter_name, model_name=model_name, format=export_format, created_at=clock.now()
    )
    (folder / RECORD).write_bytes(store.pretty(record))


def _is_export(folder: Path, adapter_name: str, export_format: str) -> bool:
    try:
        record = store.read(folder / RECORD, ExportRecord)
    except (FileNotFoundError, BrokenFile):
        return False
    return (record.adapter_name, record.format) == (adapter_name, export_format)
