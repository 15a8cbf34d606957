"""One question to the server, by the standard library alone: httpx takes as long to import as a whole command may."""

import http.client
import json
import os
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from functools import partial
from typing import BinaryIO, TypeVar
from urllib.parse import urlsplit

from cli._shared import address, api
from cli._shared.exits import Exit, Failure

Got = TypeVar("Got")


class Answer:
    """What comes back. Its methods raise Failure where the server goes meanwhile."""

    def __init__(self, response: http.client.HTTPResponse) -> None:
        self._response = response

    def read(self) -> bytes:
        return _read(self._response.read)

    def lines(self) -> Iterator[str]:
        """As they come, without their ends."""
        return (line.decode().rstrip("\r\n") for line in iter(partial(_read, self._response.readline), b""))


@contextmanager
def asked(
    method: str, path: str, body: bytes | BinaryIO | None, headers: Mapping[str, str], timeout_s: float | None
) -> Iterator[Answer]:
    """Ask, and hang up when done. `timeout_s` is the longest silence. Raises Failure."""
    connection = _connection(timeout_s)
    key = os.environ.get("LATHE_API_KEY")
    own = {"Authorization": f"Bearer {key}"} if key else {}
    try:
        response = _response(connection, method, path, body, {**headers, **own})
        if response.status >= 400:
            raise _refusal(response)
        yield Answer(response)
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
    return kind(host, port, timeout=timeout_s, blocksize=api.BLOCK)


def _response(
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
