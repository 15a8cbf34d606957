"""Print the end of a job's log; with -f also what comes to it, until the job ends."""

import sys

import click

from cli._shared import api, events, printing, watching
from cli._shared.arguments import job_argument
from cli._shared.exits import Exit
from cli._shared.named import find_job


@click.command()
@job_argument
@click.option("-f", "--follow", is_flag=True, help="Go on until the job ends.")
@click.option("-n", "--lines", type=click.IntRange(1, 10_000), default=50, help="How many lines (default: 50).")
@printing.json_option
def command(job: str, follow: bool, lines: int, as_json: bool) -> int:  # noqa: FBT001
    job_id = find_job(job)
    if follow and as_json:
        raise click.UsageError("--json prints one answer, and -f has no end: choose one")
    if follow:
        _follow(job_id, lines)
        return Exit.DONE
    reply = api.get(f"/api/training/logs/{api.name(job_id)}", {"lines": lines})
    if as_json:
        printing.body(reply.body)
    else:
        for line in reply.data["lines"]:
            click.echo(line)
    return Exit.DONE


def _follow(job_id: str, lines: int) -> None:
    watched = watching.Watched(job_id)
    is_first = True
    for event in events.follow({"log": job_id}, watched.has_ended):
        if event.name == "jobs":
            watched.look()
        elif event.name == "log":
            text = event.data["text"]
            sys.stdout.write("".join(text.splitlines(keepends=True)[-lines:]) if is_first else text)
            sys.stdout.flush()
            is_first = False
