"""Show one job: where it stands, its settings, its result."""

import click

from cli._shared import api, named, printing
from cli._shared.arguments import job_argument


@click.command()
@job_argument
@printing.json_option
def command(job: str, as_json: bool) -> None:  # noqa: FBT001
    reply = api.get(f"/api/training/status/{api.name(named.find_job(job))}")
    if as_json:
        printing.body(reply.body)
    else:
        printing.facts((name.replace("_", " "), value) for name, value in reply.data.items())
