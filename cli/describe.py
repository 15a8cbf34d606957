"""Give an adapter a description, or tags, which take the place of those before."""

import click

from cli._shared import api, printing
from cli._shared.arguments import adapter_argument


@click.command()
@adapter_argument
@click.argument("text", required=False)
@click.option("--tag", "tags", multiple=True, help="A tag; may be given several times.")
def command(adapter: str, text: str | None, tags: tuple[str, ...]) -> None:
    if text is None and not tags:
        raise click.UsageError("Give a TEXT, or a --tag")
    said: dict[str, object] = {}
    if text is not None:
        said["description"] = text
    if tags:
        said["tags"] = list(tags)
    described = api.call("PATCH", f"/api/adapters/{api.name(adapter)}", body=said).data
    printing.line(described["name"], described["description"], *described["tags"])
