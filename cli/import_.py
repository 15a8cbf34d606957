"""Take in a PEFT adapter from elsewhere: a folder, or a .zip, .tar or .tar.gz of one."""

import tarfile
from pathlib import Path
from tempfile import TemporaryFile

import click

from cli._shared import api, files, printing
from cli._shared.exits import Failure

KINDS = {
    ".zip": "application/zip",
    ".tar": "application/x-tar",
    ".tar.gz": "application/gzip",
    ".tgz": "application/gzip",
}


@click.command()
@click.argument("path", type=click.Path(exists=True, path_type=Path))
@click.option("-n", "--name", metavar="NAME", help="The adapter's name (default: that of the folder or archive).")
@click.option("--description", metavar="TEXT", help="Shown with the adapter.")
@printing.json_option
def command(path: Path, name: str | None, description: str | None, as_json: bool) -> None:  # noqa: FBT001
    ending = next((ending for ending in KINDS if path.name.endswith(ending)), "")
    query = {"adapter_name": name or path.resolve().name.removesuffix(ending), "description": description}
    if path.is_dir():
        with TemporaryFile() as packed:
            with tarfile.open(fileobj=packed, mode="w") as archive:
                archive.add(path, arcname=".")
            size = packed.tell()
            packed.seek(0)
            reply = api.send_file("/api/adapters/import", packed, size, KINDS[".tar"], query)
    elif ending:
        size = path.stat().st_size
        with path.open("rb") as file, files.shown(file, size, path.name) as sent:
            reply = api.send_file("/api/adapters/import", sent, size, KINDS[ending], query)
    else:
        raise Failure(f"{path} is neither a folder nor an archive: {', '.join(KINDS)}")
    if as_json:
        printing.body(reply.body)
    else:
        click.echo(reply.data["message"])
