"""Have no adapter answer the requests that name no model."""

import click

from cli._shared import api


@click.command()
def command() -> None:
    click.echo(api.post("/api/adapters/unload").data["message"])
