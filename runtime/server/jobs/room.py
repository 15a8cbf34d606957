"""Whether a training job needs the memory that an idle inference worker holds."""

import psutil

from runtime.process.machine import Machine
from runtime.server.index import JobEntry
from state import models
from state.errors import ServiceError
from state.root import DataRoot


def is_needed(root: DataRoot, machine: Machine, entry: JobEntry) -> bool:
    """For a job that is about to be launched."""
    try:
        model = models.find(root, entry.model_name)
    except ServiceError:
        return False  # its trainer will say so
    weights_mb = models.size_mb(model.folder) if model.folder else 0.0
    return is_short(machine, psutil.virtual_memory().available / 1e6, weights_mb)


def is_short(machine: Machine, free_mb: float, weights_mb: float) -> bool:
    """Given the machine's free memory and the size of the base's weights on disk, both in 10^6 bytes.

    A trainer on an accelerator measures what is free there and plans with it, so there it gets all. On a CPU, training
    a base in 4 bits seldom takes more than the base's weights do in 16.
    """
    return machine.device != "cpu" or free_mb < weights_mb
