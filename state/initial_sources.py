"""What `init_adapter` may name: an adapter, or one as it was at an epoch's end (`state/adapter_checkpoints.py`).

The job's copy of it is `state/initial_adapters.py`'s.
"""

from state import adapter_checkpoints, adapters, models, safetensors
from state.adapters import WEIGHTS
from state.errors import BrokenFile, NotFound, ServiceError
from state.initial_adapters import Source
from state.root import DataRoot


def find(root: DataRoot, name: str, model_name: str) -> Source:
    """The files of an adapter of this base. Raises ServiceError for one that cannot be gone on from."""
    try:
        if adapter_checkpoints.MARK in name:
            adapter = adapter_checkpoints.find(root, name)
            record = adapters.find(root, adapter_checkpoints.adapter_of(name))
        else:
            record = adapters.find(root, name)
            adapter = adapters.read(root, record)
        safetensors.read_header(adapter.path / WEIGHTS)
    except (NotFound, FileNotFoundError, NotADirectoryError):
        raise ServiceError(f"init_adapter {name} is not among the adapters") from None
    except BrokenFile as error:
        raise ServiceError(f"init_adapter {name} cannot be used: {error}") from error
    if adapter.problem is not None:
        raise ServiceError(f"init_adapter {name} cannot be used: {adapter.problem}")
    own = models.resolve(root, adapter.model_name)
    if own is None or own.source != models.find(root, model_name).source:
        raise ServiceError(
            f"init_adapter {name} is an adapter of {adapter.model_name or 'an unknown base'}, "
            f"and model_name is {model_name}: an adapter fits its own base only"
        )
    return Source(name, adapter.path, record)
