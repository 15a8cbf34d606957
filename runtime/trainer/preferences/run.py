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

References = Callable[[TokenFiles], NDArray[np.float32]]
"""From a folder's documents to what the reference gives each [D]."""


def of(job: Job, ready: Ready, references: References) -> Preferences | None:
    """None where the job learns from no preferences."""
    data, settings = ready.data, job.training_config
    if not data.are_pairs:
        return None
    train = Pairs(data.train.rows, references(data.train.rows))
    held_out = Pairs(data.held_out.rows, references(data.held_out.rows)) if data.held_out else None
    return Preferences(train, held_out, ready.summed_loss, settings.loss_type, settings.beta)


def computed(  # noqa: PLR0913, PLR0917  what is computed, by what, and how
    root: DataRoot, job: Job, ready: Ready, fitted: Fit, init: Path | None, tell: Tell
) -> References:
    """Those of the job, computed unless they are kept with the tokens, before a checkpoint is restored.

    `init` is the folder of the adapter that the job goes on from, `tell` hears how far it is.
    """
    source = models.find(root, job.model_name).load_from
    origin = None if init is None else initial_adapters.origin(init)
    computed_by = reference.by(root.quantized_bases, source, ready.setup, origin)
    return partial(
        reference.log_probabilities,
        ready.model,
        ready.summed_loss,
        computed_by=computed_by,
        row_tokens=fitted.row_tokens,
        tell=tell,
    )


def none(documents: TokenFiles) -> NDArray[np.float32]:
    """Where steps only take time."""
    return np.zeros(len(documents.lengths), dtype=np.float32)
