"""List the adapters, the newest first."""

from typing import Any

import click

from cli._shared import api, named, printing, times
from cli._shared.printing import Column


def _words(adapter: dict[str, Any]) -> str:
    return str(adapter["problem"] or adapter["description"])


COLUMNS = [
    Column.of("NAME", "name"),
    Column.of("BASE", "model_name"),
    Column.number("LOSS", "loss", ".3f"),
    Column.number("MB", "size_mb", ".1f"),
    Column("CREATED", lambda adapter: times.ago(adapter["created_at"]), lambda adapter: adapter["created_at"]),
    Column("LOADED", lambda adapter: "yes" if adapter["is_loaded"] else "", lambda adapter: adapter["is_loaded"]),
    Column("", _words, _words),
]


@click.command()
@printing.json_option
def command(as_json: bool) -> None:  # noqa: FBT001
    reply = api.get(named.ADAPTERS)
    if as_json:
        printing.body(reply.body)
        return
    adapters = reply.data["adapters"]
    printing.table(COLUMNS, [adapter | {"loss": adapter["metrics"]["final_loss"]} for adapter in adapters])
