"""What a spare trainer is told: one line of JSON on its standard input."""

from msgspec import Struct


class Assignment(Struct, frozen=True):
    """A job's folder, and the CUDA_VISIBLE_DEVICES that its trainer is to have (None: as it is)."""

    job_dir: str
    accelerator: str | None
