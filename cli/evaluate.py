"""Find out whether an adapter answers better than its base, or than others."""

import sys
import time
from typing import Any

import click

from cli._shared import address, api, files, named, printing
from cli._shared.exits import Exit, Failure
from cli._shared.printing import Column

EVERY_S = 0.5
ENDED = {"completed": Exit.DONE, "failed": Exit.JOB_FAILED, "cancelled": Exit.JOB_CANCELLED}


@click.command()
@click.argument("adapter", metavar="[ADAPTER]", required=False, shell_complete=named.complete_adapter)
@click.option(
    "--vs",
    multiple=True,
    metavar="OTHER",
    help="Another model; several times.",
    shell_complete=named.complete_answering,
)
@click.option(
    "--rows",
    metavar="FILE|DATASET",
    help="The questions (default: those that the adapter's job was evaluated on).",
    shell_complete=named.complete_dataset,
)
@click.option("--max-rows", type=click.IntRange(min=1), help="Of more rows, a random choice.")
@click.option("--max-tokens", type=click.IntRange(min=1), help="Of each answer.")
@click.option("--again", metavar="ID", help="Show an evaluation that was begun before.")
@printing.json_option
def command(*, adapter: str | None, again: str | None, as_json: bool, **asked: Any) -> int:  # noqa: ANN401  its options
    """Ends with 0 if the adapter is better than all others by the first grader, else with 3."""
    if (adapter is None) == (again is None):
        raise click.UsageError("name an ADAPTER to evaluate, or an evaluation with --again")
    evaluation_id = again or _begun(str(adapter), **asked)
    try:
        reply = _ended(evaluation_id, is_quiet=as_json)
    except KeyboardInterrupt:
        back = address.typed(f"evaluate --again {evaluation_id}")
        click.echo(f"\nDetached; the evaluation goes on.   {back}   shows it again", err=True)
        return Exit.DONE
    if as_json:
        printing.body(reply.body)
    else:
        _show(reply.data)
    return _code(reply.data)


def _begun(adapter: str, *, vs: tuple[str, ...], rows: str | None, **limits: int | None) -> str:
    body: dict[str, object] = {name: limit for name, limit in limits.items() if limit is not None}
    if vs:
        body["against"] = list(vs)
    if rows is not None:
        body["dataset_name"] = files.dataset(rows, skip_invalid=False)
    return str(api.post(f"{named.ADAPTERS}/{api.name(adapter)}/evaluate", body).data["evaluation_id"])


def _ended(evaluation_id: str, *, is_quiet: bool) -> api.Reply:
    """Waits, for a server that is gone, too. What is told meanwhile stands on one line of a terminal."""
    told = ""
    while True:
        try:
            reply = api.get(f"/api/evaluations/{api.name(evaluation_id)}")
            now = f"{reply.data['status']}, {reply.data['progress']:.0f} %"
        except Failure as failure:
            if failure.code != Exit.NO_SERVER or not told:
                raise
            reply, now = None, "The server is gone; its next start goes on. Waiting ..."
        if now != told and not is_quiet:
            is_drawn = sys.stderr.isatty()
            click.echo(f"\r\x1b[K{now}" if is_drawn else now, err=True, nl=not is_drawn)
        told = now
        if reply is not None and reply.data["status"] in ENDED:
            click.echo(err=True, nl=sys.stderr.isatty() and not is_quiet)
            return reply
        time.sleep(EVERY_S)


def _show(evaluation: dict[str, Any]) -> None:
    if evaluation["error_message"]:
        click.echo(evaluation["error_message"], err=True)
    for verdict in evaluation["verdicts"]:
        click.echo(verdict["sentence"])
    columns = [
        Column.of("MODEL", "model"),
        *(_score(grader) for grader in evaluation["graders"]),
        Column.number("TOKENS", "mean_tokens", ".1f"),
        Column.number("CUT OFF", "num_cut_off", "d"),
    ]
    printing.table(columns, evaluation["table"])
    for warning in evaluation["warnings"]:
        click.echo(warning, err=True)


def _score(grader: str) -> Column:
    return Column(
        grader.upper(), lambda row: f"{row['scores'][grader]:.3f}", lambda row: row["scores"][grader], "right"
    )


def _code(evaluation: dict[str, Any]) -> Exit:
    code = ENDED[evaluation["status"]]
    deciding = [verdict for verdict in evaluation["verdicts"] if verdict["grader"] == evaluation["graders"][0]]
    if code == Exit.DONE and any(verdict["verdict"] != "better" for verdict in deciding):
        return Exit.NO
    return code
