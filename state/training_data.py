"""Uploaded data sets: `training_data/<name>/` with train.jsonl (the examples) and dataset.json (what and when)."""

import secrets
from datetime import datetime
from pathlib import Path

from msgspec import Struct

from state import clock, examples, names, store
from state.errors import ServiceError
from state.root import DataRoot


class Dataset(Struct, frozen=True, kw_only=True):
    """dataset.json."""

    version: int = 1
    dataset_name: str
    num_texts: int
    created_at: datetime


def save(root: DataRoot, dataset_name: str | None, texts: list[str]) -> Dataset:
    """Keep a data set, replacing the examples of one of the same name. Jobs have copies: they are not touched."""
    if dataset_name is None:
        dataset_name = f"dataset-{clock.now():%Y%m%d-%H%M%S}-{secrets.token_hex(2)}"
    names.check("dataset_name", dataset_name)
    examples.check("train_texts", texts)
    folder = root.training_data / dataset_name
    folder.mkdir(exist_ok=True)
    if not root.holds(folder):
        raise ServiceError(f"dataset_name {dataset_name!r} is a link out of the data root")
    dataset = Dataset(dataset_name=dataset_name, num_texts=len(texts), created_at=clock.now())
    examples.write(examples_file(root, dataset_name), texts)
    store.write(folder / "dataset.json", dataset)
    return dataset


def read_texts(root: DataRoot, dataset_name: str) -> list[str]:
    """The examples of a data set. Raises ServiceError when there is none of this name, BrokenFile."""
    names.check("dataset_name", dataset_name)
    file = examples_file(root, dataset_name)
    if not file.exists() or not root.holds(file):
        raise ServiceError(f"Dataset {dataset_name} not found: upload it with POST /api/training/data/upload")
    return examples.read(file)


def examples_file(root: DataRoot, dataset_name: str) -> Path:
    return root.training_data / dataset_name / "train.jsonl"
