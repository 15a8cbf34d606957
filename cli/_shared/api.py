"""The HTTP API of the server.

What speaks HTTP is imported where something is asked: that is a third of what Tab takes, which mostly offers commands
and options.
"""

import json
from collections.abc import Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager
from typing import TYPE_CHECKING, Any, BinaryIO
from urllib.parse import quote, urlencode

from cli._shared.exits import Exit, Failure

if TYPE_CHECKING:
    from cli._shared.connection import Answer

BLOCK = 2**17
"""Bytes of a file that are sent at a time."""


class Reply:
    """What the API has answered."""

    def __init__(self, body: bytes) -> None:
        self.body = body

    @property
    def data(self) -> dict[str, Any]:
        return dict(json.loads(self.body))


def get(path: str, query: Mapping[str, object] | None = None, *, timeout_s: float | None = None) -> Reply:
    return call("GET", path, query=query, timeout_s=timeout_s)


def post(path: str, body: object = None, query: Mapping[str, object] | None = None) -> Reply:
    return call("POST", path, body=body, query=query)


def call(
    method: str,
    path: str,
    *,
    body: object = None,
    query: Mapping[str, object] | None = None,
    timeout_s: float | None = None,
) -> Reply:
    """Raises Failure for a refusal. Waits as long as it takes: a plan of a large model takes minutes."""
    sent = None if body is None else json.dumps(body).encode()
    headers = {} if body is None else {"Content-Type": "application/json"}
    with _asked(method, with_query(path, query), sent, headers, timeout_s) as answer:
        return Reply(answer.read())


def send_file(path: str, file: BinaryIO, size: int, kind: str, query: Mapping[str, object]) -> Reply:
    """POST a file's bytes as they are read."""
    headers = {"Content-Type": kind, "Content-Length": str(size)}
    with _asked("POST", with_query(path, query), file, headers, None) as answer:
        return Reply(answer.read())


@contextmanager
def stream(
    method: str,
    path: str,
    *,
    body: object = None,
    headers: Mapping[str, str] | None = None,
    timeout_s: float | None = None,
) -> Iterator[Iterator[str]]:
    """The lines of an answer, as they come. `timeout_s` is the longest silence. Raises Failure, then, too."""
    sent = None if body is None else json.dumps(body).encode()
    kind = {} if body is None else {"Content-Type": "application/json"}
    with _asked(method, path, sent, {**kind, **(headers or {})}, timeout_s) as answer:
        yield answer.lines()


def with_query(path: str, query: Mapping[str, object] | None) -> str:
    """A path with what is asked; what is None is not."""
    said = {key: value for key, value in (query or {}).items() if value is not None}
    return f"{path}?{urlencode(said)}" if said else path


def name(part: str) -> str:
    """A name as a part of a path. Raises Failure for an empty one: without it, the path is that of all."""
    if not part:
        raise Failure("The name is empty", Exit.NOT_FOUND)
    return quote(part, safe="")


def _asked(
    method: str, path: str, body: bytes | BinaryIO | None, headers: Mapping[str, str], timeout_s: float | None
) -> AbstractContextManager["Answer"]:
    from cli._shared import connection  # noqa: PLC0415

    return connection.asked(method, path, body, headers, timeout_s)
