"""Forecast a training without starting it: steps, memory, time. Ends with 3 where it does not fit."""

from typing import Any

import click

from cli._shared import api, printing, training
from cli._shared.exits import Exit


@click.command()
@training.arguments
@printing.json_option
def command(*, as_json: bool, **asked: Any) -> int:  # noqa: ANN401  training.arguments
    reply = api.post("/api/training/plan", training.request(**asked))
    if as_json:
        printing.body(reply.body)
        return Exit.DONE if reply.data["fits"] else Exit.NO
    return training.show_plan(reply.data)
