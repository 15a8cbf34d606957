"""Take up paused, cancelled or failed jobs from their last checkpoints."""

import click

from cli._shared import api
from cli._shared.each_job import each, jobs_argument


@click.command()
@jobs_argument
def command(jobs: tuple[str, ...]) -> int:
    return each(jobs, lambda job_id: str(api.post(f"/api/training/resume/{api.name(job_id)}").data["message"]))
