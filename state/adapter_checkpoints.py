"""Adapters as they were at epochs' ends of their training, which answer by a name of their own.

`<adapter>:ckpt-step-<n>` is `checkpoints/epoch-<n>/` in the folder of the job that made the adapter, asked as the
adapter is. No adapter of one's own can have such a name.
"""

from msgspec import structs

from state import adapter_places, adapters, jobs
from state.adapters import CONFIG, Adapter
from state.errors import BrokenFile, NotFound
from state.root import DataRoot

MARK = ":ckpt-step-"


def name(adapter_name: str, step: int) -> str:
    return f"{adapter_name}{MARK}{step}"


def adapter_of(name: str) -> str:
    """The adapter that goes by this name, or is of this name's epoch's end."""
    return name.partition(MARK)[0]


def find(root: DataRoot, name: str) -> Adapter:
    """Raises NotFound."""
    adapter_name, _, step = name.rpartition(MARK)
    missing = NotFound(f"Adapter {name} not found")
    if not (step.isdecimal() and step == str(int(step))):
        raise missing
    try:
        published = adapters.read(root, adapters.find(root, adapter_name))
        job = adapter_places.job_of(root, published.path)
        if job is None or jobs.read_status(job).status != "completed":  # or its checkpoints are of another run
            raise missing
        path = job.epoch(int(step))
        if not (path / CONFIG).exists() or not root.holds(path):
            raise missing
        own = adapters.read(root, path)
    except (FileNotFoundError, BrokenFile):
        raise missing from None
    return structs.replace(
        published,
        name=name,
        path=path,
        created_at=own.created_at,
        size_mb=own.size_mb,
        metrics=own.metrics,
        fingerprint=own.fingerprint,
        problem=published.problem or own.problem,
    )
