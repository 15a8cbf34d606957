"""Say what this machine and this installation have, and what they lack, with the command that mends it."""

import os
from pathlib import Path
from typing import Any

import click

from cli._shared import address, api, printing
from cli._shared.exits import Exit, Failure

COLORS = {"ok": "green", "warn": "yellow", "missing": "red"}


@click.command()
@printing.json_option
def command(as_json: bool) -> int:  # noqa: FBT001
    """The server is asked; where none runs, this program looks itself. Ends with 3 if something is missing."""
    try:
        reply = api.get("/api/machine")
        server = {"level": "ok", "text": f"The server at {address.url()} answers", "fix": None}
    except Failure as failure:
        if failure.code != Exit.NO_SERVER or os.environ.get("LATHE_URL"):
            raise
        reply = _looked_here()
        server = {"level": "warn", "text": f"No server runs at {address.url()}", "fix": address.typed("serve")}
    if as_json:
        printing.body(reply.body)
    else:
        for check in [server, *reply.data["checks"]]:
            _show(check)
    return Exit.NO if reply.data["level"] == "missing" else Exit.DONE


def _looked_here() -> api.Reply:
    import msgspec  # noqa: PLC0415  what only a machine without a server needs

    from runtime.server import doctor  # noqa: PLC0415
    from state.root import DataRoot  # noqa: PLC0415

    root = DataRoot.at(Path(os.environ.get("LATHE_ROOT") or address.CHECKOUT))
    return api.Reply(msgspec.json.encode(doctor.examine(root)))


def _show(check: dict[str, Any]) -> None:
    if not printing.for_eyes():
        printing.line(check["level"], check["text"], check["fix"])
        return
    level = click.style(f"{check['level']:<7}", fg=COLORS[check["level"]])
    click.echo(f"{level}  {check['text']}" + (f"   ->   {check['fix']}" if check["fix"] else ""))
