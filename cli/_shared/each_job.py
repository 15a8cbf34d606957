"""Commands that do one thing to each of several jobs."""

from collections.abc import Callable

import click

from cli._shared import named
from cli._shared.exits import Exit, Failure

jobs_argument = click.argument("jobs", nargs=-1, required=True, metavar="JOB...", shell_complete=named.complete_job)


def each(jobs: tuple[str, ...], do: Callable[[str], str]) -> int:
    """Do it to all of them, whatever becomes of one; say what was done, and what was refused."""
    failures = []
    for reference in jobs:
        try:
            click.echo(do(named.find_job(reference)))
        except Failure as failure:
            if failure.code == Exit.NO_SERVER:
                raise
            click.echo(str(failure), err=True)
            failures.append(failure.code)
    if not failures:
        return Exit.DONE
    return Exit.NOT_FOUND if set(failures) == {Exit.NOT_FOUND} else Exit.REFUSED
