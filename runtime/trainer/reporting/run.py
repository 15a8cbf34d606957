"""What every tool is asked to do."""

from pathlib import Path
from typing import Literal, Protocol

from msgspec import Struct

Outcome = Literal["completed", "failed", "cancelled", "goes on"]
"""How a trainer ended: a job that was paused or cut off goes on later."""


class Beginning(Struct, frozen=True, kw_only=True):
    """A run that begins, or goes on."""

    folder: Path
    """The job's `reports/`."""
    root: Path
    """The data root."""
    job_id: str
    project: str
    name: str
    entity: str | None
    tags: list[str]
    settings: dict[str, object]
    run_id: str | None
    """Of the run that goes on; None for a new one."""


class ToolRun(Protocol):
    """A run in one tool."""

    @property
    def run_id(self) -> str:
        """By which it can be gone on with."""

    def log(self, step: int, figures: dict[str, float]) -> None:
        """Take figures in."""

    def flush(self) -> None:
        """Have what was taken in last, as far as the tool says when it does."""

    def end(self, outcome: Outcome) -> None:
        """Say how it ended."""
