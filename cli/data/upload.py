"""Send a file of rows, which becomes a data set. `-` is the standard input, in JSON Lines."""

import click

from cli._shared import files, printing


@click.command()
@click.argument("file", type=click.Path(exists=True, dir_okay=False, allow_dash=True))
@click.argument("name", required=False)
@click.option("--columns", metavar="JSON", help='Which column is which key: {"prompt": "question"}.')
@click.option("--eval", "is_eval", is_flag=True, help="The rows are those that data set NAME is evaluated on.")
@click.option("--skip-invalid", is_flag=True, help="Leave out rows that cannot be used.")
@printing.json_option
def command(  # noqa: PLR0913, PLR0917  its options
    file: str,
    name: str | None,
    columns: str | None,
    is_eval: bool,  # noqa: FBT001
    skip_invalid: bool,  # noqa: FBT001
    as_json: bool,  # noqa: FBT001
) -> None:
    """FILE may be - for the standard input, in JSON Lines. Without NAME, its name is made of the file's and a checksum
    of its content. A data set of that NAME is replaced.
    """
    if is_eval and name is None:
        raise click.UsageError("--eval needs the NAME of the data set whose rows these are")
    query: dict[str, object] = {"columns": columns}
    if is_eval:
        query["split"] = "eval"
    if skip_invalid:
        query["skip_invalid"] = "true"
    reply = files.upload(file, name, query)
    if as_json:
        printing.body(reply.body)
        return
    sent = reply.data
    printing.line(sent["dataset_name"], f"{sent['num_texts']} rows", sent["format"], f"{sent['num_skipped']} left out")
    for problem in sent["problems"]:
        click.echo(f"  line {problem['line']}  {problem['message']}", err=True)
