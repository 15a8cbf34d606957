"""What a training is asked with: `train` and `plan` take the same."""

import json
from collections.abc import Callable
from typing import Any

import click

from cli._shared import files, named, times
from cli._shared.exits import Exit, Failure

Command = Callable[..., Any]

SHORT = {
    "epochs": ("training_config.num_epochs", click.IntRange(min=1), "Passes over the rows."),
    "steps": ("training_config.max_steps", click.IntRange(min=1), "Steps, in the place of epochs."),
    "lr": ("training_config.learning_rate", click.FLOAT, "The peak learning rate."),
    "rank": ("lora_config.r", click.IntRange(min=1), "The adapter's rank."),
    "alpha": ("lora_config.lora_alpha", click.IntRange(min=1), "Its weight: alpha / rank."),
}
"""Options that are settings of a job: where in the request they stand, and what they are."""


def arguments(command: Command) -> Command:
    """The rows, and every option that says how they are learned."""
    for option, (_, kind, words) in reversed(SHORT.items()):
        command = click.option(f"--{option}", type=kind, help=words)(command)
    decorators = [
        click.argument("rows", metavar="FILE|DATASET", shell_complete=named.complete_dataset),
        click.option("-m", "--model", required=True, help="The base model.", shell_complete=named.complete_model),
        click.option("-n", "--name", help="The adapter's name (default: made of the model's and the job's)."),
        click.option("--eval", "held_out", metavar="FILE|DATASET", help="Rows to evaluate on.",
                     shell_complete=named.complete_dataset),
        click.option("--set", "settings", multiple=True, metavar="KEY=VALUE", callback=_settings,
                     help="Any other field of a job: training_config.save_steps=50; several times."),
    ]  # fmt: skip
    for decorate in reversed(decorators):
        command = decorate(command)
    return command


def request(rows: str, model: str, name: str | None, held_out: str | None, settings: dict[str, Any],
            **short: object) -> dict[str, Any]:  # fmt: skip
    """The body that `start` and `plan` take. Files are sent before it is asked with. Raises Failure."""
    body: dict[str, Any] = {"model_name": model}
    if name is not None:
        body["adapter_name"] = name
    for option, value in short.items():
        if value is not None:
            _put(body, SHORT[option][0], value)
    for key, value in settings.items():
        _put(body, key, value)
    skip_invalid = body.get("training_config", {}).get("skip_invalid") is True
    body["dataset_name"] = files.dataset(rows, skip_invalid=skip_invalid)
    if held_out is not None:
        body["eval_dataset_name"] = files.dataset(held_out, skip_invalid=skip_invalid)
    return body


def _put(body: dict[str, Any], key: str, value: object) -> None:
    *outer, last = key.split(".")
    for part in outer:
        body = body.setdefault(part, {})
        if not isinstance(body, dict):
            raise Failure(f"--set {key}: {part} has a value already", Exit.USAGE)
    body[last] = value


def _settings(_context: click.Context, _option: click.Parameter, given: tuple[str, ...]) -> dict[str, Any]:
    """Values are JSON, and what is no JSON is a text."""
    found = {}
    for setting in given:
        key, equals, value = setting.partition("=")
        if not equals or not all(key.split(".")):
            raise click.BadParameter(f"{setting!r} is not of the form KEY=VALUE")
        try:
            found[key] = json.loads(value)
        except ValueError:
            found[key] = value
    return found


def show_plan(plan: dict[str, Any]) -> Exit:
    """A forecast in a few lines; whether it fits is the exit code."""
    cut = f"; {plan['num_truncated']:,} are cut at {plan['max_seq_length']:,}" if plan["num_truncated"] else ""
    dropped = f"; {plan['num_dropped']:,} are left out" if plan["num_dropped"] else ""
    tokens = f"{plan['tokens_per_epoch']:,} tokens, {plan['learned_tokens_per_epoch']:,} of them learned"
    click.echo(f"rows    {plan['num_examples']:,} examples, {tokens}{cut}{dropped}", err=True)
    if not plan["fits"]:
        click.echo(f"plan    does not fit: {plan['advice']}", err=True)
        return Exit.NO
    memory = f"{plan['peak_memory_mb']:,.0f} of {plan['available_memory_mb']:,.0f} MiB"
    click.echo(
        f"plan    {plan['total_steps']:,} steps · {memory} · about {times.span(60 * plan['estimated_minutes'])}",
        err=True,
    )
    return Exit.DONE
