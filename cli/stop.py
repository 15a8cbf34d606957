"""Cancel jobs that wait, run or are paused; what they have learned is kept in a checkpoint."""

import click

from cli._shared import api
from cli._shared.each_job import each, jobs_argument


@click.command()
@jobs_argument
def command(jobs: tuple[str, ...]) -> int:
    return each(jobs, lambda job_id: str(api.post(f"/api/training/stop/{api.name(job_id)}").data["message"]))
