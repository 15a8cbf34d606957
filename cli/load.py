"""Have an adapter answer the requests that name no model."""

import click

from cli._shared import api
from cli._shared.arguments import adapter_argument


@click.command()
@adapter_argument
def command(adapter: str) -> None:
    click.echo(api.post(f"/api/adapters/{api.name(adapter)}/load").data["message"])
