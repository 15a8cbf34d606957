"""What a command prints: tables for eyes on a terminal; tab-separated values in a pipe, whole and without a header."""

import json
import sys
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, Literal, NamedTuple

import click

GAP = 2
"""Between two columns."""
SHORTEST_SENTENCE = 12
"""Characters of a line, where it wraps."""

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


def table(columns: Sequence[Column], rows: Sequence[dict[str, Any]]) -> None:
    if not for_eyes():
        for row in rows:
            line(*(column.pipe(row) for column in columns))
        return
    from rich.console import Console  # noqa: PLC0415  10 ms, which a pipe need not wait for
    from rich.table import Table  # noqa: PLC0415
    from rich.text import Text  # noqa: PLC0415  a value is no markup

    cells = {column: [Text(column.eyes(row)) for row in rows] for column in columns}
    console = Console()
    widths = {column: max(len(column.title), *(cell.cell_len for cell in cells[column]), 0) for column in columns}
    kept = _that_fit(widths, console.width)
    shown = Table(box=None, pad_edge=False, header_style="bold", padding=(0, GAP, 0, 0))
    for column in kept:
        is_sentence = not column.title
        shown.add_column(column.title, justify=column.justify, no_wrap=not is_sentence, overflow="fold")
    for number in range(len(rows)):
        shown.add_row(*(cells[column][number] for column in kept))
    console.print(shown)
    if left_out := ", ".join(column.title for column in columns if column not in kept):
        click.echo(f"A wider terminal also shows {left_out}", err=True)


def _that_fit(widths: Mapping[Column, int], most: int) -> list[Column]:
    """The first of these columns, each whole; a sentence takes the room that is left."""
    room = {column: width if column.title else min(width, SHORTEST_SENTENCE) for column, width in widths.items()}
    titled = [column for column in widths if column.title]
    while len(titled) > 1 and sum(room.values()) + GAP * len(room) > most:
        del room[titled.pop()]
    return list(room)


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
