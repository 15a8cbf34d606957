"""What a command prints: tables for eyes on a terminal; tab-separated values in a pipe, whole and without a header."""

import json
import sys
from collections.abc import Callable, Iterable, Sequence
from typing import Any, Literal, NamedTuple

import click

json_option = click.option("--json", "as_json", is_flag=True, help="Print what the API answers, as it is.")


class Column(NamedTuple):
    """`eyes` shows a row's value to a person, `pipe` gives a program all of it. Sentences have no title, and wrap."""

    title: str
    eyes: Callable[[dict[str, Any]], str]
    pipe: Callable[[dict[str, Any]], object]
    justify: Literal["left", "right"] = "left"

    @classmethod
    def of(cls, title: str, key: str) -> "Column":
        """The same for both."""
        return cls(title, lambda row: text(row[key]), lambda row: row[key])

    @classmethod
    def number(cls, title: str, key: str, form: str) -> "Column":
        """Rounded for eyes."""
        return cls(
            title, lambda row: "-" if row[key] is None else format(row[key], form), lambda row: row[key], "right"
        )


def for_eyes() -> bool:
    return sys.stdout.isatty()


def text(value: object) -> str:
    return "-" if value is None else str(value)


def body(answer: bytes) -> None:
    """The API's own bytes, and a line's end behind them."""
    click.echo(answer)


def table(columns: Sequence[Column], rows: Iterable[dict[str, Any]]) -> None:
    if not for_eyes():
        for row in rows:
            line(*(column.pipe(row) for column in columns))
        return
    from rich.console import Console  # noqa: PLC0415  10 ms, which a pipe need not wait for
    from rich.table import Table  # noqa: PLC0415
    from rich.text import Text  # noqa: PLC0415  a value is no markup

    shown = Table(box=None, pad_edge=False, header_style="bold", padding=(0, 2, 0, 0))
    for column in columns:
        is_sentence = not column.title
        shown.add_column(column.title, justify=column.justify, no_wrap=not is_sentence, overflow="fold")
    for row in rows:
        shown.add_row(*(Text(column.eyes(row)) for column in columns))
    Console().print(shown)


def line(*values: object) -> None:
    """Tab-separated, as a pipe gets them."""
    click.echo("\t".join(map(_cell, values)))


def facts(pairs: Iterable[tuple[str, object]]) -> None:
    """Names and values of one thing, one a line; those that are null or empty are left out."""
    told = [(name, _shown(value)) for name, value in pairs if value not in (None, "", [], {})]
    width = max((len(name) for name, _ in told), default=0)
    for name, value in told:
        if for_eyes():
            click.echo(f"{name:<{width}}  {value}")
        else:
            line(name, value)


def _shown(value: object) -> str:
    return json.dumps(value, ensure_ascii=False) if isinstance(value, dict | list) else str(value)


def _cell(value: object) -> str:
    """A value that breaks neither its line nor its column; null is empty."""
    return "" if value is None else " ".join(str(value).split("\t")).replace("\r", " ").replace("\n", " ")
