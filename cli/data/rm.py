"""Delete data sets; jobs have their own copies."""

import click

from cli._shared import api, named


@click.command()
@click.argument("datasets", nargs=-1, required=True, metavar="DATASET...", shell_complete=named.complete_dataset)
def command(datasets: tuple[str, ...]) -> None:
    for dataset in datasets:
        click.echo(api.call("DELETE", f"{named.DATA}/{api.name(dataset)}").data["message"])
