"""Show one job: where it stands, its settings, its result."""

from collections.abc import Iterator
from typing import Any

import click

from cli._shared import api, named, printing
from cli._shared.arguments import job_argument

ASIDE = ("written", "config", "resolved", "spark")
"""Settings at three times, of which `config` is shown, all defaults filled in; and a drawing."""


@click.command()
@job_argument
@printing.json_option
def command(job: str, as_json: bool) -> None:  # noqa: FBT001
    reply = api.get(f"{named.JOBS}/{api.name(named.find_job(job))}")
    if as_json:
        printing.body(reply.body)
        return
    told = reply.data
    stands = [(name, value) for name, value in told.items() if name not in ASIDE]
    printing.facts([*stands, *((name, value) for name, value in _flat(told["config"] or {}) if name not in told)])


def _flat(settings: dict[str, Any], above: str = "") -> Iterator[tuple[str, object]]:
    """Settings in settings by their whole names, as `train --set` has them."""
    for name, value in settings.items():
        if isinstance(value, dict):
            yield from _flat(value, f"{above}{name}.")
        else:
            yield f"{above}{name}", value
