"""List the base models that can be trained."""

import click

from cli._shared import api, named, printing
from cli._shared.printing import Column

COLUMNS = [
    Column.of("NAME", "name"),
    Column.of("KIND", "kind"),
    Column("HERE", lambda model: "yes" if model["downloaded"] else "to download", lambda model: model["downloaded"]),
    Column.of("ARCHITECTURE", "architecture"),
    Column.number("CONTEXT", "context_length", ",d"),
    Column.number("MB", "size_mb", ",.1f"),
    Column("", lambda model: model["problem"] or "", lambda model: model["problem"]),
]


@click.command()
@printing.json_option
def command(as_json: bool) -> None:  # noqa: FBT001
    reply = api.get(named.MODELS)
    if as_json:
        printing.body(reply.body)
        return
    printing.table(COLUMNS, reply.data["models"])
    if reply.data["problem"]:
        click.echo(reply.data["problem"], err=True)
