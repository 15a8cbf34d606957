"""What the reference gives every document: computed once before the first step, and kept with the tokens.

    reference.f32    the log-probability of each document's learned tokens, in nats; NaN where it is not computed yet
    reference.json   what it was computed by; another base or precision is another reference

The reference is the model that the training begins with, as `reference_of` alone has it: the base with the adapter off,
or with the adapter that the job goes on from. It is computed before a checkpoint is restored, so biases and modules
that are trained in full have the values that they begin with, too. A row that is computed is on the disk: a run that is
interrupted meanwhile goes on where it was.
"""

import warnings
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

import numpy as np
import torch
from msgspec import Struct
from numpy.typing import NDArray
from peft import PeftModel

from runtime.model import base_cache
from runtime.model.device import Setup
from runtime.trainer.counting import Tell, counted, nobody
from runtime.trainer.documents import Document
from runtime.trainer.fit import rows
from runtime.trainer.loss import SummedLoss, evaluating
from runtime.trainer.token_files import TokenFiles
from state import store
from state.adapters import Origin
from state.errors import BrokenFile, ServiceError

VALUES, ABOUT = "reference.f32", "reference.json"
VERSION = 1


class By(Struct, frozen=True, kw_only=True):
    """reference.json: all but the tokens, beside which it lies, that the values depend on."""

    version: int = VERSION
    base: str
    """The name of the quantized base's copy: it changes with the model's files, the device, the precision, and the
    libraries that compute."""
    init_adapter: str | None = None
    """The SHA-256 of the weights of the adapter that the job goes on from."""


def by(cache: Path, source: str, setup: Setup, init: Origin | None) -> By:
    """What computes the reference of a base that has been loaded, and of the adapter that the job goes on from."""
    folder = base_cache.folder_of(cache, source, setup)
    return By(base=f"{folder.parent.name}/{folder.name}", init_adapter=init.sha256 if init else None)


def log_probabilities(  # noqa: PLR0913  what is computed, by what, and how
    model: PeftModel,
    summed_loss: SummedLoss,
    documents: TokenFiles,
    *,
    computed_by: By,
    row_tokens: int,
    tell: Tell = nobody,
) -> NDArray[np.float32]:
    """Of each document [D], in rows of at most `row_tokens`. The model is as the training begins with it.

    Raises ServiceError when the base gives something that is not a number.
    """
    folder = documents.folder
    if _computed_by(folder) != computed_by:
        _begin(folder, computed_by, len(documents.lengths))
    values_D = np.fromfile(folder / VALUES, dtype=np.float32)
    if np.isnan(values_D).any():
        with reference_of(model, has_own_adapter=computed_by.init_adapter is not None):
            _compute(summed_loss, documents, values_D, row_tokens, tell)
    if not np.isfinite(values_D).all():
        row = int((~np.isfinite(values_D)).argmax()) // 2
        raise ServiceError(
            f"The model gives the answers of line {documents.line(row)} probabilities that are not numbers before it "
            "is trained: remove the row, or train another one"
        )
    return values_D


@contextmanager
def reference_of(model: PeftModel, *, has_own_adapter: bool = False) -> Iterator[None]:
    """In this block the model computes as the reference: without dropout, and without its adapter unless the training
    goes on from that one.
    """
    with warnings.catch_warnings(), ExitStack() as without:
        warnings.filterwarnings("ignore", message="Careful, disabling adapter layers with bias")  # not yet trained
        if not has_own_adapter:
            without.enter_context(model.disable_adapter())
        with evaluating(model), torch.no_grad():
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
    summed_loss: SummedLoss, documents: TokenFiles, values_D: NDArray[np.float32], row_tokens: int, tell: Tell
) -> None:
    """Fill in what is NaN. Rows are cut without regard to it, so that they are what an undisturbed run's would be."""
    first = 0
    pairs = counted(iter(documents), f"Computing the reference of {documents.folder.name}", len(documents), tell)
    with (documents.folder / VALUES).open("r+b") as file:
        for row in rows((document for pair in pairs for document in pair), row_tokens):
            part = slice(first, first + len(row))
            if np.isnan(values_D[part]).any():
                values_D[part] = _of(summed_loss, row)
                file.seek(first * values_D.itemsize)
                file.write(values_D[part].tobytes())
                file.flush()
            first += len(row)


def _of(summed_loss: SummedLoss, row: list[Document]) -> NDArray[np.float32]:
    return np.asarray(-summed_loss.of_each(row).float().cpu().numpy(), dtype=np.float32)
