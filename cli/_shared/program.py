"""The program: its commands, and how the end of one becomes an exit code."""

import os
import sys

import click

from cli._shared.exits import Exit, Failure
from cli._shared.group import FoundGroup
from state.version import VERSION


def _without_color(context: click.Context, _option: click.Parameter, is_wanted: bool) -> None:  # noqa: FBT001  click's
    if is_wanted or os.environ.get("NO_COLOR"):
        context.color = False
        os.environ["NO_COLOR"] = "1"  # rich reads it


program = FoundGroup(
    "cli",
    name="lathe",
    help="Fine-tune language models on your own machine.",
    epilog="LATHE_URL names another server than the one on this machine, LATHE_API_KEY the key that it asks for.",
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 120},
)
program.params += [
    click.Option(
        ["--no-color"],
        is_flag=True,
        expose_value=False,
        callback=_without_color,
        help="No colours, as with NO_COLOR.",
    ),
]
program = click.version_option(VERSION, message="%(version)s")(program)


def run(arguments: list[str] | None = None) -> int:
    """Run the command that these arguments name, or those of the process; its exit code."""
    try:
        code = program.main(arguments, prog_name="lathe", standalone_mode=False)
        sys.stdout.flush()
    except Failure as failure:
        click.echo(str(failure), err=True)
        return failure.code
    except click.ClickException as error:
        error.show()
        return error.exit_code
    except click.Abort:  # Ctrl-C
        return Exit.INTERRUPTED
    except BrokenPipeError:  # `| head` has what it wants
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())  # or Python complains when it flushes at its end
        return Exit.REFUSED
    return code if isinstance(code, int) else Exit.DONE
