"""Delete an adapter, its job's checkpoints included."""

import click

from cli._shared import api
from cli._shared.arguments import adapter_argument


@click.command()
@adapter_argument
def command(adapter: str) -> None:
    click.echo(api.call("DELETE", f"/api/adapters/{api.name(adapter)}").data["message"])
