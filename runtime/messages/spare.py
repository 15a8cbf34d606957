"""What a spare trainer is told: one line of JSON on its standard input."""

from msgspec import Struct


class Assignment(Struct, frozen=True):
    """A job's folder. Its accelerator is the one that the spare was started with."""

    job_dir: str
