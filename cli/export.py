"""Write an adapter for other programs: a merged model, or files for llama.cpp and Ollama."""

import click

from cli._shared import api, printing
from cli._shared.arguments import adapter_argument


@click.command()
@adapter_argument
@click.argument("kind", metavar="FORMAT", type=click.Choice(["merged", "gguf", "gguf-lora"]))
@click.option("--output-dir", metavar="DIR", help="A folder of the data root (default: ./exports).")
@printing.json_option
def command(adapter: str, kind: str, output_dir: str | None, as_json: bool) -> None:  # noqa: FBT001
    said = {"format": kind} | ({"output_dir": output_dir} if output_dir is not None else {})
    reply = api.post(f"/api/adapters/{api.name(adapter)}/export", said)
    if as_json:
        printing.body(reply.body)
    else:
        click.echo(reply.data["path"])
