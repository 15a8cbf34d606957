"""Watch a job until it ends, by default the one that runs. Ctrl-C stops the watching alone."""

import click

from cli._shared import api, named, printing, watching
from cli._shared.exits import Exit, Failure


@click.command()
@click.argument("job", metavar="[JOB]", required=False, shell_complete=named.complete_job)
@printing.json_option
def command(job: str | None, as_json: bool) -> int:  # noqa: FBT001
    """Ends with 0 when the job is completed or Ctrl-C was pressed, 5 when it failed and 6 when it was cancelled.

    On a terminal a bar is drawn. In a pipe each log step is a line. With --json each event of the server is a line.
    """
    return watching.watch(named.find_job(job) if job is not None else _current(), as_json=as_json)


def _current() -> str:
    """The job that runs; else the next one to run. Raises Failure where there is neither."""
    for status in ("running", "pending"):
        jobs = api.get(named.JOBS, {"status": status}).data["jobs"]
        if jobs:
            return str(jobs[-1]["job_id"])
    raise Failure("No job runs or waits: name one", Exit.NOT_FOUND)
