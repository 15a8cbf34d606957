"""What the server tells of while it is watched, for as long as it takes: over restarts of the server, too."""

import json
import time
from collections.abc import Callable, Iterator, Mapping
from typing import Any, NamedTuple

import click

from cli._shared import api, sse
from cli._shared.exits import Exit, Failure

SILENCE_S = 25.0
"""Beats come each 10 s: who says nothing for so long is gone, as after a laptop's sleep."""
FIRST_S, MOST_S = 0.5, 15.0
"""Between two attempts to reach a server that is gone."""
END_OF_ROUND = "machine"
"""What a new stream tells last of what is true at its beginning."""


class Event(NamedTuple):
    name: str
    data: dict[str, Any]


def follow(
    query: Mapping[str, object],
    is_over: Callable[[], bool] = lambda: False,
    note: Callable[[str], None] = lambda sentence: click.echo(sentence, err=True),
) -> Iterator[Event]:
    """Every event, none twice and none left out, until it is over and all that was to be told has been.

    A server that goes is waited for, for ever; `note` tells a person of it. Raises Failure where the server was never
    there, or refuses.
    """
    stream = Stream(query)
    wait_s = FIRST_S
    while not is_over():
        for event in stream.events():
            if wait_s > FIRST_S:
                note("The server is back.")
                wait_s = FIRST_S
            yield event
            if is_over():
                break
        else:
            if wait_s == FIRST_S:
                note("The server is gone; the trainer goes on. Waiting for the server ...")
            time.sleep(wait_s)
            wait_s = min(2 * wait_s, MOST_S)
    for event in stream.events():
        yield event
        if event.name == END_OF_ROUND:
            return


class Stream:
    """What is followed, and how far that has come. It may be asked for its events again and again."""

    def __init__(self, query: Mapping[str, object]) -> None:
        self._place = api.with_query("/api/events", query)
        self._cursor: str | None = None
        self._was_there = False

    def events(self) -> Iterator[Event]:
        """What comes behind the last event, until the server goes."""
        headers = {"Last-Event-ID": self._cursor} if self._cursor is not None else {}
        try:
            with api.stream("GET", self._place, headers=headers, timeout_s=SILENCE_S) as lines:
                self._was_there = True
                for message in sse.messages(lines):
                    self._cursor = message.id or self._cursor
                    yield Event(message.event, json.loads(message.data))
        except Failure as failure:
            if not self._was_there or failure.code != Exit.NO_SERVER:
                raise
