"""Uploaded data sets: `training_data/<name>/` with train.jsonl (the examples) and dataset.json (what and when)."""

import secrets
from contextlib import suppress
from datetime import datetime
from pathlib import Path

from msgspec import Struct

from state import clock, examples, folders, names, store
from state.errors import ServiceError
from state.root import DataRoot

EXAMPLES = "train.jsonl"
RECORD = "dataset.json"


class Dataset(Struct, frozen=True, kw_only=True):
    """dataset.json."""

    version: int = 1
    dataset_name: str
    num_texts: int
    created_at: datetime


def save(root: DataRoot, dataset_name: str | None, texts: list[str]) -> Dataset:
    """Keep a data set, replacing the examples of one of the same name. Jobs have copies: they are not touched.

    The whole folder is replaced in one step: of two uploads at once, one is what is there. What else its owner keeps
    in it stays.
    """
    if dataset_name is None:
        dataset_name = f"dataset-{clock.now():%Y%m%d-%H%M%S}-{secrets.token_hex(2)}"
    names.check("dataset_name", dataset_name)
    examples.check("train_texts", texts)
    dataset = Dataset(dataset_name=dataset_name, num_texts=len(texts), created_at=clock.now())
    folder = root.training_data / dataset_name
    if not root.holds(folder):
        raise ServiceError(f"dataset_name {dataset_name!r} is a link out of the data root")
    with folders.appearing(folder, by=secrets.token_hex(4), replacing=True) as hidden:
        examples.write_new(hidden / EXAMPLES, texts)
        (hidden / RECORD).write_bytes(store.pretty(dataset))
        with suppress(FileNotFoundError):
            folders.copy_by_links(folder, hidden)
    return dataset


def read_texts(root: DataRoot, dataset_name: str) -> list[str]:
    """The examples of a data set. Raises ServiceError when there is none of this name, BrokenFile."""
    names.check("dataset_name", dataset_name)
    file = examples_file(root, dataset_name)
    if not file.exists() or not root.holds(file):
        raise ServiceError(f"Dataset {dataset_name} not found: upload it with POST /api/training/data/upload")
    return examples.read(file)


def examples_file(root: DataRoot, dataset_name: str) -> Path:
    return root.training_data / dataset_name / EXAMPLES
