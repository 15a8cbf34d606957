"""Train an adapter, and watch. Ctrl-C stops the watching alone."""

from typing import Any

import click

from cli._shared import address, api, named, printing, training, watching
from cli._shared.exits import Exit


@click.command()
@training.arguments
@click.option("--plan", "is_planned", is_flag=True, help="Make the plan first, and start nothing that does not fit.")
@click.option("-d", "--detach", is_flag=True, help="Print the job's id, and do not watch.")
@printing.json_option
def command(*, is_planned: bool, detach: bool, as_json: bool, **asked: Any) -> int:  # noqa: ANN401  training.arguments
    body = training.request(**asked)
    if is_planned:
        fits = training.show_plan(api.post("/api/training/plan", body).data)
        if fits != Exit.DONE:
            return fits
    started = api.post("/api/training/start", body)
    job_id = str(started.data["job_id"])
    if as_json:
        printing.body(started.body)
    else:
        click.echo(job_id)
    click.echo(f"In the dashboard:  {address.of_job(job_id)}", err=True)
    click.echo(f"In a terminal:     {address.typed(f'watch {named.short(job_id)}')}", err=True)
    return Exit.DONE if detach else watching.watch(job_id, as_json=as_json)
