"""What every request must be before its handler sees it: from this machine, in JSON, of the declared shape."""

import asyncio
from collections.abc import Coroutine, Iterable
from typing import Any, TypeVar
from urllib.parse import urlsplit

import msgspec
from litestar import Request
from litestar.enums import ScopeType
from litestar.exceptions import HTTPException
from litestar.types import ASGIApp, Receive, Scope, Send

from runtime.replies import refuse, validation_sentence
from state.errors import ServiceError

Body = TypeVar("Body")
Result = TypeVar("Result")

LOOPBACK = frozenset({"localhost", "127.0.0.1", "::1"})


async def check_body(request: Request[Any, Any, Any]) -> None:
    """Refuse a body that is not JSON of the handler's own type. Litestar alone would take "4" for the number 4."""
    field = request.route_handler.parsed_data_field
    if field is not None:
        await decoded(request, field.annotation)


async def decoded(request: Request[Any, Any, Any], kind: type[Body]) -> Body:
    """The body, in JSON of this type. Raises HTTPException."""
    if request.content_type[0] != "application/json":
        raise HTTPException("Send the body as JSON, with the header Content-Type: application/json", status_code=415)
    body = await request.body()
    try:
        return msgspec.json.decode(body or b"{}", type=kind)
    except msgspec.ValidationError as error:
        raise HTTPException(validation_sentence(str(error)), status_code=400) from error
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise HTTPException(f"The request body is not valid JSON: {error}", status_code=400) from error
    except RecursionError as error:
        raise HTTPException("The request body is nested too deeply", status_code=400) from error


async def while_connected(request: Request[Any, Any, Any], work: Coroutine[Any, Any, Result]) -> Result:
    """Do what a request asks for; a client that goes away cancels it. Raises what the work raises."""
    working = asyncio.create_task(work)
    leaving = asyncio.create_task(_left(request))
    try:
        await asyncio.wait({working, leaving}, return_when=asyncio.FIRST_COMPLETED)
        if not working.done():
            raise ServiceError("The client went away")
        return working.result()
    finally:
        for task in (working, leaving):
            task.cancel()


async def _left(request: Request[Any, Any, Any]) -> None:
    while (await request.receive())["type"] != "http.disconnect":
        pass


class LocalOnly:
    """ASGI middleware against web pages that reach for this server through their visitor's browser.

    `Host` must be a name that this server goes by (DNS rebinding sends another), and an `Origin`, which browsers add
    to what pages send, must be one too.
    """

    def __init__(self, app: ASGIApp, names: Iterable[str]) -> None:
        self._app = app
        self._names = LOOPBACK | {name.lower() for name in names}

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != ScopeType.HTTP:
            await self._app(scope, receive, send)
            return
        headers = {name: value.decode("latin-1") for name, value in scope["headers"] if name in {b"host", b"origin"}}
        host = _hostname(f"//{headers.get(b'host', '')}")
        origin = headers.get(b"origin")
        if host not in self._names:
            refusal = f"This server does not answer to the host name {host or 'of no Host header'!r}: use localhost"
        elif origin is not None and _hostname(origin) not in self._names:
            refusal = f"Requests from pages of {origin} are refused"
        else:
            await self._app(scope, receive, send)
            return
        response = refuse(403, refusal).to_asgi_response(None, Request(scope))
        await response(scope, receive, send)


def _hostname(url: str) -> str:
    try:
        return (urlsplit(url).hostname or "").lower()
    except ValueError:
        return ""
