"""Give an adapter another name."""

import click

from cli._shared import api
from cli._shared.arguments import adapter_argument


@click.command()
@adapter_argument
@click.argument("new_name")
def command(adapter: str, new_name: str) -> None:
    renamed = api.call("PATCH", f"/api/adapters/{api.name(adapter)}", body={"name": new_name}).data
    click.echo(f"{adapter} is {renamed['name']} now")
