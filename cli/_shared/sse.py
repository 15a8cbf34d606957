"""Server-sent events, out of the lines that they come in."""

from collections.abc import Iterable, Iterator
from typing import NamedTuple


class Message(NamedTuple):
    """`id` is None where the message brings none."""

    id: str | None
    event: str
    data: str


def messages(lines: Iterable[str]) -> Iterator[Message]:
    """Each message, once it is complete; half a one at the end is dropped."""
    event_id: str | None = None
    event, data = "message", list[str]()
    for line in lines:
        if not line:
            if data:
                yield Message(event_id, event, "\n".join(data))
            event_id, event, data = None, "message", []
            continue
        field, _, value = line.partition(":")
        value = value.removeprefix(" ")
        if field == "data":
            data.append(value)
        elif field == "event":
            event = value
        elif field == "id":
            event_id = value
