"""Show what a data set holds; with -m rows as the model learns them."""

from typing import Any

import click

from cli._shared import api, named, printing
from cli._shared.arguments import dataset_argument

ROWS = 3


@click.command()
@dataset_argument
@click.argument("first", metavar="[N]", type=click.IntRange(min=1), default=1)
@click.option("-m", "--model", help="The model that would be trained.", shell_complete=named.complete_model)
@click.option("--rows", type=click.IntRange(1, 100), default=ROWS, help=f"How many rows (default: {ROWS}).")
@printing.json_option
def command(dataset: str, first: int, model: str | None, rows: int, as_json: bool) -> None:  # noqa: FBT001
    """With -m, row N and those behind it are shown. What is learned is underlined on a terminal; in a pipe, or
    without colours, it stands between « and ».
    """
    place = f"{named.DATA}/{api.name(dataset)}"
    if model is None:
        reply = api.get(place)
    else:
        reply = api.get(f"{place}/preview", {"model_name": model, "first": first, "rows": rows})
    if as_json:
        printing.body(reply.body)
    elif model is None:
        _show_dataset(reply.data)
    else:
        for row in reply.data["rows"]:
            _show_row(row)


def _show_dataset(data: dict[str, Any]) -> None:
    printing.facts(
        [
            ("name", data["dataset_name"]),
            ("path", data["path"]),
            ("kind", data["row_kind"]),
            ("rows", data["num_rows"]),
            ("usable", data["num_usable"]),
            ("invalid", data["num_invalid"] or None),
            *(
                (file["name"], f"{file['format']}, {file['used']} rows, {file['bytes']} bytes")
                for file in data["files"]
            ),
            ("not read", ", ".join(data["ignored_files"])),
            ("unused keys", ", ".join(data["unused_keys"])),
            ("sha256", data["sha256"]),
        ]
    )


def _show_row(row: dict[str, Any]) -> None:
    click.secho(f"{row['file']} line {row['line']}, row {row['row']}", bold=True)
    if row["problem"]:
        click.echo(row["problem"])
    for sequence in row["sequences"]:
        click.echo("".join(_piece(piece) for piece in sequence["pieces"]))
        click.secho(f"{sequence['num_learned']} of {sequence['num_tokens']} tokens are learned", dim=True)


def _piece(piece: dict[str, Any]) -> str:
    text = str(piece["text"])
    if not piece["learned"]:
        return text
    is_plain = not printing.for_eyes() or click.get_current_context().color is False
    return f"«{text}»" if is_plain else click.style(text, underline=True, fg="green")
