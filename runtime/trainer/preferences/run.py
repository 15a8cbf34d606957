"""The preferences of a job's run: its pairs, with what the reference gives them."""

from collections.abc import Callable
from functools import partial
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from runtime.trainer.counting import Tell
from runtime.trainer.fit import Fit
from runtime.trainer.preferences import reference
from runtime.trainer.preferences.learning import Preferences
from runtime.trainer.preferences.pairs import Pairs
from runtime.trainer.preparation import Ready
from runtime.trainer.token_files import TokenFiles
from state import initial_adapters, models
from state.jobs import Job
from state.root import DataRoot


def prepare(  # noqa: PLR0913, PLR0917  what is learned from, and by what its reference is computed
    root: DataRoot, job: Job, ready: Ready, fitted: Fit, init: Path | None, tell: Tell
) -> Preferences | None:
    """None where the job learns from no preferences.

    What the reference gives them is computed unless it is kept with the tokens: before a checkpoint is restored. `init`
    is the folder of the adapter that the job goes on from, `tell` hears how far it is.
    """
    if not ready.data.are_pairs:
        return None
    source = models.find(root, job.model_name).load_from
    origin = None if init is None else initial_adapters.origin(init)
    reference_of = partial(
        reference.log_probabilities,
        ready.model,
        ready.summed_loss,
        computed_by=reference.by(root.quantized_bases, source, ready.setup, origin),
        row_tokens=fitted.row_tokens,
        tell=tell,
    )
    return _preferences(job, ready, reference_of)


def to_be_timed(job: Job, ready: Ready) -> Preferences | None:
    """The same with a reference of zeros, which takes no time."""
    if not ready.data.are_pairs:
        return None
    return _preferences(job, ready, lambda rows: np.zeros(len(rows.lengths), dtype=np.float32))


def _preferences(job: Job, ready: Ready, reference_of: Callable[[TokenFiles], NDArray[np.float32]]) -> Preferences:
    """`reference_of` documents is a number of each [D]."""
    data, settings = ready.data, job.training_config
    train = Pairs(data.train.rows, reference_of(data.train.rows))
    held_out = Pairs(data.held_out.rows, reference_of(data.held_out.rows)) if data.held_out else None
    return Preferences(train, held_out, ready.summed_loss, settings.loss_type, settings.beta)
