"""Delete jobs that have ended, checkpoints included; their adapters stay."""

import click

from cli._shared import api
from cli._shared.each_job import each, jobs_argument


@click.command()
@jobs_argument
def command(jobs: tuple[str, ...]) -> int:
    return each(jobs, lambda job_id: str(api.call("DELETE", f"/api/training/jobs/{api.name(job_id)}").data["message"]))
