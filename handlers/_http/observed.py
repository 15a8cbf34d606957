"""Each request has an id, is counted and timed, and is said in the log: never with its body, nor its answer's."""

import logging
import re
import secrets
import time

from litestar.datastructures import MutableScopeHeaders
from litestar.enums import ScopeType
from litestar.types import ASGIApp, HTTPScope, Message, Receive, Scope, Send

from runtime.process.logs import REQUEST
from runtime.server.meter import Meter

HEADER = "X-Request-ID"
METHODS = frozenset({"GET", "HEAD", "OPTIONS", "POST", "PUT", "PATCH", "DELETE"})
NO_ROUTE = "(none)"  # of a path that there is not: whoever asks chooses those

SENTENCE = "%(method)s %(route)s %(status)d, %(ms).1f ms, %(bytes)d bytes"

_ID = re.compile(rb"[A-Za-z0-9._-]{1,64}")

log = logging.getLogger("lathe.requests")


class Observed:
    """ASGI application around all others. A client may bring the id, and finds it in the answer."""

    def __init__(self, app: ASGIApp, meter: Meter) -> None:
        self._app = app
        self._meter = meter

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != ScopeType.HTTP:
            await self._app(scope, receive, send)
            return
        answer = _Answer(_id_of(scope))
        request = REQUEST.set(answer.request)
        try:
            await self._app(scope, receive, answer.noting(send))
        finally:
            self._tell(scope, answer)
            REQUEST.reset(request)

    def _tell(self, scope: HTTPScope, answer: "_Answer") -> None:
        took_s = time.perf_counter() - answer.began_s
        method = scope["method"] if scope["method"] in METHODS else "other"
        route = scope.get("path_template") or NO_ROUTE
        self._meter.answered(method, route, answer.status, None if answer.is_stream else took_s)
        level = logging.DEBUG if method == "GET" and answer.status < 400 else logging.INFO
        if log.isEnabledFor(level):
            told = {"method": method, "route": route, "status": answer.status, "ms": round(1000 * took_s, 1)}
            fields = told | {"bytes": answer.bytes}
            log.log(level, SENTENCE, fields, extra={"fields": fields})


class _Answer:
    def __init__(self, request: str) -> None:
        self.request = request
        self.began_s = time.perf_counter()
        self.status = 499
        """Until it begins: of a client that left before that."""
        self.bytes = 0
        self.is_stream = False

    def noting(self, send: Send) -> Send:
        async def sending(message: Message) -> None:
            if message["type"] == "http.response.start":
                self.status = message["status"]
                headers = MutableScopeHeaders(message)
                headers[HEADER] = self.request
                self.is_stream = headers.get("content-type", "").startswith("text/event-stream")
            elif message["type"] == "http.response.body":
                self.bytes += len(message["body"])
            await send(message)

        return sending


def _id_of(scope: HTTPScope) -> str:
    given = next((value for name, value in scope["headers"] if name == b"x-request-id"), b"")
    return given.decode() if _ID.fullmatch(given) else secrets.token_hex(6)
