"""List jobs, the newest first."""

import json
from collections.abc import Mapping
from typing import Any

import click

from cli._shared import api, events, named, printing, times
from cli._shared.exits import Exit
from cli._shared.printing import Column

STATES = ["pending", "running", "paused", "completed", "failed", "cancelled"]


def _step(job: dict[str, Any]) -> str:
    return f"{job['step']}/{job['total_steps']}" if job["total_steps"] else ""


def _left(job: dict[str, Any]) -> str:
    return "" if job["eta_s"] is None else times.span(job["eta_s"])


def _words(job: dict[str, Any]) -> str:
    """The reason of a failure or of waiting, or what it does before its first step."""
    return str(job["error_message"] or job["queue_reason"] or job["message"] or "")


COLUMNS = [
    Column("ID", lambda job: named.short(job["job_id"]), lambda job: job["job_id"]),
    Column.of("NAME", "adapter_name"),
    Column.of("BASE", "model_name"),
    Column.of("STATUS", "status"),
    Column("STEP", _step, _step, "right"),
    Column.number("LOSS", "loss", ".3f"),
    Column("LEFT", _left, lambda job: job["eta_s"], "right"),
    Column("CREATED", lambda job: times.ago(job["created_at"]), lambda job: job["created_at"]),
    Column("", _words, _words),
]


@click.command()
@click.option("--status", type=click.Choice(STATES), help="Only jobs of this status.")
@click.option("--limit", type=click.IntRange(min=1), default=20, help="How many at most (default: 20).")
@click.option("--watch", "is_watched", is_flag=True, help="Draw them again when something changes, until Ctrl-C.")
@click.option("--jsonl", "as_lines", is_flag=True, help="Print a line of JSON for each job.")
@printing.json_option
def command(*, status: str | None, limit: int, is_watched: bool, as_lines: bool, as_json: bool) -> int:
    query = {"status": status, "limit": limit}
    if is_watched:
        return _watch(query)
    reply = api.get(named.JOBS, query)
    if as_json:
        printing.body(reply.body)
    elif as_lines:
        for job in reply.data["jobs"]:
            click.echo(json.dumps(job))
    else:
        printing.table(COLUMNS, reply.data["jobs"])
    return Exit.DONE


def _watch(query: Mapping[str, object]) -> int:
    try:
        for event in events.follow({}):
            if event.name == "jobs":
                click.clear()
                printing.table(COLUMNS, api.get(named.JOBS, query).data["jobs"])
    except KeyboardInterrupt:
        click.echo()
    return Exit.DONE
