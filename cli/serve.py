"""Start the server. Its options are those of `python main.py`."""

import click


@click.command(
    context_settings={"ignore_unknown_options": True, "allow_extra_args": True, "help_option_names": []},
    add_help_option=False,
)
@click.argument("options", nargs=-1, type=click.UNPROCESSED)
def command(options: tuple[str, ...]) -> int:
    import server  # noqa: PLC0415  all that it stands on: half a second

    return server.main(["serve", *options])
