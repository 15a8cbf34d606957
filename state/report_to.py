"""Where a job's figures are shown beside its own files: the job's `report_to`, and what its folder keeps of it.

reports/<tool>.json    the run over there, how far it has been told, and what stands in the way
reports/<tool>.log     what the tool's own library says
reports/tensorboard/   TensorBoard's event files; reports/wandb/ Weights & Biases' own
"""

from collections.abc import Sequence
from importlib.util import find_spec
from pathlib import Path
from typing import Annotated, Literal

from msgspec import Meta, Struct

from state import store
from state.errors import BrokenFile, ServiceError

DEFAULT_PROJECT = "lathe"

Tool = Literal["tensorboard", "mlflow", "wandb", "trackio"]
Name = Annotated[str, Meta(min_length=1, max_length=128)]

PACKAGES: dict[Tool, str] = {"tensorboard": "tensorboardX", "mlflow": "mlflow", "wandb": "wandb", "trackio": "trackio"}
"""By their modules' names. Each is an extra of pyproject.toml by the tool's name."""

_NAMED: tuple[Tool, ...] = ("mlflow", "wandb", "trackio")
_MEANT: dict[str, tuple[Tool, ...]] = {"project": _NAMED, "name": _NAMED, "entity": ("wandb",), "tags": ("wandb",)}
"""Which fields mean something to which tool."""


class Report(Struct, forbid_unknown_fields=True, frozen=True, kw_only=True):
    """One place. Where the run goes, and how it is called there."""

    type: Tool
    project: Name | None = None
    """Left out: "lathe". MLflow calls it an experiment."""
    name: Name | None = None
    """Left out: the adapter's."""
    entity: Name | None = None
    """Weights & Biases' team or user; left out: the account's own."""
    tags: Annotated[list[Name], Meta(max_length=64)] = []


ReportTo = Annotated[list[Tool | Report], Meta(max_length=len(PACKAGES))]
"""A tool's name alone is short for a Report of that type."""


class Told(Struct, frozen=True, kw_only=True):
    """reports/<tool>.json."""

    run_id: str | None = None
    """By which a resumed job goes on with the same run."""
    step: int = 0
    """Of the last line of metrics.jsonl that was told."""
    is_evaluation: bool = False
    """Whether that was an evaluation's."""
    problem: str | None = None
    """Why nothing is told at the moment."""


def each(report_to: Sequence[Tool | Report]) -> list[Report]:
    return [one if isinstance(one, Report) else Report(type=one) for one in report_to]


def check(report_to: Sequence[Tool | Report], field: str = "report_to") -> None:
    """Raise ServiceError for what means nothing, or needs a package that is not installed; `field` is the request's."""
    reports = each(report_to)
    for report in reports:
        if sum(other.type == report.type for other in reports) > 1:
            raise ServiceError(f"{field} has {report.type} twice: one run in each tool is what a job has", param=field)
        for part, tools in _MEANT.items():
            if getattr(report, part) and report.type not in tools:
                raise ServiceError(f"{field}: {part} does not go with {report.type}: leave it out", param=field)
        if not is_installed(report.type):
            raise ServiceError(f"{field}: {missing(report.type)}", param=field)


def missing(tool: Tool) -> str:
    return f"{tool} needs the package {PACKAGES[tool]}, which is not installed: .venv/bin/pip install -e '.[{tool}]'"


def is_installed(tool: Tool) -> bool:
    """Without importing it, which takes seconds."""
    found = find_spec(PACKAGES[tool])
    return found is not None and found.origin is not None  # a folder of that name, such as wandb's own, is no package


def record_of(folder: Path, tool: Tool) -> Path:
    """In a job's `reports/`."""
    return folder / f"{tool}.json"


def told(folder: Path, tool: Tool) -> Told:
    """How far a tool has been told; from the beginning where its record is gone or cannot be read."""
    try:
        return store.read(record_of(folder, tool), Told)
    except (FileNotFoundError, BrokenFile):
        return Told()
