"""What the reference gives every document: computed once before the first step, and kept with the tokens.

    reference.f32    the log-probability of each document's learned tokens, in nats; NaN where it is not computed yet
    reference.json   what it was computed by; another base or precision is another reference

The reference is the base with the adapter off, in `reference_of` alone. It is computed before a checkpoint is restored,
so biases that are trained have their own values, too. A row that is computed is on the disk: a run that is interrupted
meanwhile goes on where it was.
"""

import logging
import time
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import torch
from msgspec import Struct
from numpy.typing import NDArray
from peft import PeftModel
from tqdm import tqdm

from runtime.model import base_cache
from runtime.model.device import Setup
from runtime.trainer.documents import Document
from runtime.trainer.fit import rows
from runtime.trainer.loss import SummedLoss, evaluating
from runtime.trainer.token_files import TokenFiles
from state import store
from state.errors import BrokenFile, ServiceError

VALUES, ABOUT = "reference.f32", "reference.json"
VERSION = 1

log = logging.getLogger("trainer")


class By(Struct, frozen=True, kw_only=True):
    """reference.json: all but the tokens, beside which it lies, that the values depend on."""

    version: int = VERSION
    base: str
    """The name of the quantized base's copy: it changes with the model's files, the device, the precision, and the
    libraries that compute."""


def by(cache: Path, source: str, setup: Setup) -> By:
    """What computes the reference of a base that has been loaded."""
    folder = base_cache.folder_of(cache, source, setup)
    return By(base=f"{folder.parent.name}/{folder.name}")


def log_probabilities(
    model: PeftModel, summed_loss: SummedLoss, documents: TokenFiles, *, computed_by: By, row_tokens: int
) -> NDArray[np.float32]:
    """Of each document [D], in rows of at most `row_tokens`. The model has its fresh adapter.

    Raises ServiceError when the base gives something that is not a number.
    """
    folder = documents.folder
    if _computed_by(folder) != computed_by:
        _begin(folder, computed_by, len(documents.lengths))
    values_D = np.fromfile(folder / VALUES, dtype=np.float32)
    left = int(np.isnan(values_D).sum())
    if left:
        log.info("The reference: %s of %s answers are to be computed", left, len(values_D))
        began = time.monotonic()
        _compute(model, summed_loss, documents, values_D, row_tokens)
        log.info("The reference took %.2f s", time.monotonic() - began)
    if not np.isfinite(values_D).all():
        row = int((~np.isfinite(values_D)).argmax()) // 2
        raise ServiceError(
            f"The base model gives the answers of line {documents.line(row)} probabilities that are not numbers: "
            "remove the row, or train another base"
        )
    return values_D


@contextmanager
def reference_of(model: PeftModel) -> Iterator[None]:
    """In this block the model computes as the reference: without its adapter, and without dropout."""
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message="Careful, disabling adapter layers with bias")  # not yet trained
        with evaluating(model), model.disable_adapter(), torch.no_grad():
            yield


def _computed_by(folder: Path) -> By | None:
    try:
        return store.read(folder / ABOUT, By)
    except (FileNotFoundError, BrokenFile):
        return None


def _begin(folder: Path, computed_by: By, num_documents: int) -> None:
    """Nothing but NaN, and then what the values will be by."""
    (folder / ABOUT).unlink(missing_ok=True)
    (folder / VALUES).write_bytes(np.full(num_documents, np.nan, dtype=np.float32).tobytes())
    store.flush(folder / VALUES)
    (folder / ABOUT).write_bytes(store.pretty(computed_by))
    store.flush(folder / ABOUT)


def _compute(
    model: PeftModel, summed_loss: SummedLoss, documents: TokenFiles, values_D: NDArray[np.float32], row_tokens: int
) -> None:
    """Fill in what is NaN. Rows are cut without regard to it, so that they are what an undisturbed run's would be."""
    first = 0
    with reference_of(model), (documents.folder / VALUES).open("r+b") as file:
        bar = tqdm(total=len(values_D), desc="reference", unit=" answers", disable=None)
        for row in rows((document for pair in documents for document in pair), row_tokens):
            part = slice(first, first + len(row))
            if np.isnan(values_D[part]).any():
                values_D[part] = _of(summed_loss, row)
                file.seek(first * values_D.itemsize)
                file.write(values_D[part].tobytes())
                file.flush()
            first += len(row)
            bar.update(len(row))
        bar.close()


def _of(summed_loss: SummedLoss, row: list[Document]) -> NDArray[np.float32]:
    return np.asarray(-summed_loss.of_each(row).float().cpu().numpy(), dtype=np.float32)
