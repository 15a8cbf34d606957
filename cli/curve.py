"""Draw the loss of jobs; in a pipe, print the curves as CSV."""

import csv
import sys
from typing import Any

import click

from cli._shared import api, named, printing
from cli._shared.named import find_job
from cli._shared.plot import Line, draw

DRAWN_POINTS = 1000
"""More than a terminal has dots in a row; spikes are among them."""

Points = list[dict[str, Any]]


@click.command()
@click.argument("jobs", nargs=-1, required=True, metavar="JOB...", shell_complete=named.complete_job)
@click.option("--csv", "as_csv", is_flag=True, help="Print CSV on a terminal, too.")
@printing.json_option
def command(jobs: tuple[str, ...], as_csv: bool, as_json: bool) -> None:  # noqa: FBT001
    found = [find_job(job) for job in jobs]
    is_drawn = not as_json and not as_csv and printing.for_eyes()
    query = {"max_points": DRAWN_POINTS} if is_drawn else {}
    replies = [api.get(f"/api/training/metrics/{api.name(job_id)}", query) for job_id in found]
    if as_json:
        for reply in replies:
            printing.body(reply.body)
        return
    curves: dict[str, Points] = {reply.data["job_id"]: reply.data["metrics"] for reply in replies}
    if is_drawn:
        draw([line for job_id, points in curves.items() for line in _lines(named.short(job_id), points)])
    else:
        _print_csv(curves)


def _lines(name: str, points: Points) -> list[Line]:
    """The loss, and the evaluations' where there are any."""
    kinds = (("loss", name), ("eval_loss", f"{name} eval"))
    lines = [
        Line(label, [(point["step"], point[key]) for point in points if point.get(key) is not None])
        for key, label in kinds
    ]
    return [line for line in lines if line.points]


def _print_csv(curves: dict[str, Points]) -> None:
    """One line a point; the columns are all that any point has."""
    columns = dict.fromkeys(
        ["job_id", "step", *(key for points in curves.values() for point in points for key in point)]
    )
    writer = csv.DictWriter(sys.stdout, list(columns), lineterminator="\n")
    writer.writeheader()
    for job_id, points in curves.items():
        writer.writerows({"job_id": job_id} | point for point in points)
