"""List the data sets; check, upload, show or delete one."""

import click

from cli._shared import api, named, printing, times
from cli._shared.group import FoundGroup
from cli._shared.printing import Column

COLUMNS = [
    Column.of("NAME", "dataset_name"),
    Column.of("FORMAT", "format"),
    Column.number("ROWS", "num_texts", ",d"),
    Column.number("LEFT OUT", "num_skipped", ",d"),
    Column("UPLOADED", lambda data: times.ago(data["created_at"]), lambda data: data["created_at"]),
    Column("", lambda data: data["problem"] or "", lambda data: data["problem"]),
]


@click.group(cls=FoundGroup, package=__name__, invoke_without_command=True)
@printing.json_option
@click.pass_context
def command(context: click.Context, as_json: bool) -> None:  # noqa: FBT001
    if context.invoked_subcommand is not None:
        return
    reply = api.get(named.DATA)
    if as_json:
        printing.body(reply.body)
        return
    printing.table(COLUMNS, reply.data["datasets"])
