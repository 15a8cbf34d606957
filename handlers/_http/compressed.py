"""Long answers in JSON or CSV are sent compressed to whoever takes them so; streams go out as they come."""

import asyncio
import gzip

from litestar.datastructures import MutableScopeHeaders
from litestar.enums import ScopeType
from litestar.types import ASGIApp, HTTPResponseStartEvent, Message, Receive, Scope, Send

SHORTEST = 500  # bytes; below, nothing is gained
LEVEL = 5  # a page of 50 jobs: 1 ms for a seventh of its bytes
LONG = 100_000  # bytes, which take 3 ms: longer ones are compressed in a thread
KINDS = ("application/json", "text/csv")


class Compressed:
    """ASGI application in front of another."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == ScopeType.HTTP and _takes_gzip(scope):
            send = _compressing(send)
        await self._app(scope, receive, send)


def _takes_gzip(scope: Scope) -> bool:
    return any(name == b"accept-encoding" and b"gzip" in value for name, value in scope["headers"])


def _compressing(send: Send) -> Send:
    held: HTTPResponseStartEvent | None = None
    """The beginning of an answer that may be compressed: until its body is there."""

    async def sending(message: Message) -> None:
        nonlocal held
        if message["type"] == "http.response.start" and _may_be_compressed(message):
            held = message
            return
        if held is not None and message["type"] == "http.response.body":
            start, held = held, None
            body = message["body"]
            headers = MutableScopeHeaders(start)
            headers.extend_header_value("vary", "Accept-Encoding")
            if not message["more_body"] and len(body) >= SHORTEST:
                message["body"] = await _compress(body)
                headers["Content-Encoding"] = "gzip"
                headers["Content-Length"] = str(len(message["body"]))
            await send(start)
        await send(message)

    return sending


def _may_be_compressed(start: HTTPResponseStartEvent) -> bool:
    headers = MutableScopeHeaders(start)
    return headers.get("content-type", "").startswith(KINDS) and "content-encoding" not in headers


async def _compress(body: bytes) -> bytes:
    if len(body) < LONG:
        return gzip.compress(body, LEVEL, mtime=0)
    return await asyncio.to_thread(gzip.compress, body, LEVEL, mtime=0)
