"""Where a job's figures are shown, as OpenAI's protocol says it: Weights & Biases, one of `report_to`'s places."""

from collections.abc import Sequence
from typing import Literal

from msgspec import Struct

from state import report_to
from state.report_to import Name, Report, Tool


class Wandb(Struct, forbid_unknown_fields=True, frozen=True):
    """`project` is required. Left out, `name` is the adapter's, and `entity` the account's own."""

    project: Name
    name: Name | None = None
    entity: Name | None = None
    tags: list[Name] | None = None


class Integration(Struct, forbid_unknown_fields=True, frozen=True):
    type: Literal["wandb"]
    wandb: Wandb


def as_reports(asked: Sequence[Integration]) -> list[Report]:
    """Raises ServiceError for more than one, or where the package is missing."""
    reports = [
        Report(type="wandb", project=run.project, name=run.name, entity=run.entity, tags=run.tags or [])
        for run in (integration.wandb for integration in asked)
    ]
    report_to.check(reports, "integrations")
    return reports


def shown(reports: Sequence[Tool | Report]) -> list[Integration]:
    """Those of them that the protocol knows."""
    return [
        Integration("wandb", Wandb(one.project or report_to.DEFAULT_PROJECT, one.name, one.entity, one.tags))
        for one in report_to.each(reports)
        if one.type == "wandb"
    ]
