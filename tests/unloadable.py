"""Base models that nobody gets to load for as long as a test likes: what waits for one has not ended when it is looked
at.
"""

import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from runtime.model import base_cache, device
from state import locks, models
from state.root import DataRoot
from tests.server import PATIENCE_S


@contextmanager
def unloadable(root: Path, name: str) -> Iterator[None]:
    """In this block, whoever is to load a model of this data root waits: the lock of its quantized copy is held, and
    there is no copy.
    """
    data_root = DataRoot.at(root)
    source = models.find(data_root, name).load_from
    kept = base_cache.folder_of(data_root.quantized_bases, source, device.pick())
    kept.parent.mkdir(parents=True, exist_ok=True)
    with locks.hold(kept.with_suffix(".lock"), PATIENCE_S):
        shutil.rmtree(kept, ignore_errors=True)
        yield
