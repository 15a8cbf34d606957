"""The HTTP API of the server, by the standard library alone: httpx takes as long to import as a whole command may."""

import http.client
import json
import os
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from functools import partial
from typing import Any, BinaryIO, TypeVar
from urllib.parse import quote, urlencode, urlsplit

from cli._shared import address
from cli._shared.exits import Exit, Failure

Got = TypeVar("Got")

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
    with _answer(method, with_query(path, query), sent, headers, timeout_s) as response:
        return Reply(_read(response.read))


def send_file(path: str, file: BinaryIO, size: int, kind: str, query: Mapping[str, object]) -> Reply:
    """POST a file's bytes as they are read."""
    headers = {"Content-Type": kind, "Content-Length": str(size)}
    with _answer("POST", with_query(path, query), file, headers, None) as response:
        return Reply(_read(response.read))


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
    with _answer(method, path, sent, {**kind, **(headers or {})}, timeout_s) as response:
        yield (line.decode().rstrip("\r\n") for line in iter(partial(_read, response.readline), b""))


def with_query(path: str, query: Mapping[str, object] | None) -> str:
    """A path with what is asked; what is None is not."""
    said = {key: value for key, value in (query or {}).items() if value is not None}
    return f"{path}?{urlencode(said)}" if said else path


def name(part: str) -> str:
    """A name as a part of a path."""
    return quote(part, safe="")


@contextmanager
def _answer(
    method: str, path: str, body: bytes | BinaryIO | None, headers: Mapping[str, str], timeout_s: float | None
) -> Iterator[http.client.HTTPResponse]:
    connection = _connection(timeout_s)
    key = os.environ.get("LATHE_API_KEY")
    own = {"Authorization": f"Bearer {key}"} if key else {}
    try:
        response = _asked(connection, method, path, body, {**headers, **own})
        if response.status >= 400:
            raise _refusal(response)
        yield response
    finally:
        connection.close()


def _connection(timeout_s: float | None) -> http.client.HTTPConnection:
    """Raises Failure for what is no address."""
    parts = urlsplit(address.url())
    try:
        host, port = parts.hostname, parts.port
    except ValueError:
        host = port = None
    if parts.scheme not in {"http", "https"} or not host:
        raise Failure(f"{address.url()!r} is no address of a server: LATHE_URL is such as http://localhost:5001")
    kind = http.client.HTTPSConnection if parts.scheme == "https" else http.client.HTTPConnection
    return kind(host, port, timeout=timeout_s, blocksize=BLOCK)


def _asked(
    connection: http.client.HTTPConnection,
    method: str,
    path: str,
    body: bytes | BinaryIO | None,
    headers: Mapping[str, str],
) -> http.client.HTTPResponse:
    """Raises Failure where nobody answers."""
    try:
        connection.connect()
    except OSError as error:
        raise Failure(address.not_running(error.strerror or str(error)), Exit.NO_SERVER) from error

    def ask() -> http.client.HTTPResponse:
        with suppress(BrokenPipeError, ConnectionResetError):  # it has answered before all was sent, with a refusal
            connection.request(method, urlsplit(address.url()).path + path, body, dict(headers))
        return connection.getresponse()

    return _read(ask)


def _read(read: Callable[[], Got]) -> Got:
    """Raises Failure where the server goes meanwhile, or is silent for too long."""
    try:
        return read()
    except (OSError, http.client.HTTPException) as error:
        raise Failure(f"The server at {address.url()} went away before it had answered", Exit.NO_SERVER) from error


def _refusal(response: http.client.HTTPResponse) -> Failure:
    body = response.read()
    try:
        error = json.loads(body)["error"]
        sentence = str(error["message"] if isinstance(error, dict) else error)
    except (ValueError, LookupError, TypeError):
        return Failure(
            f"{address.url()} answers, but not as a Lathe server does ({response.status} {response.reason})",
            Exit.NO_SERVER,
        )
    if response.status == 401:
        sentence += " (lathe sends what LATHE_API_KEY has)"
    return Failure(sentence, Exit.NOT_FOUND if response.status == 404 else Exit.REFUSED)
