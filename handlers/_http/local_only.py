"""Who may ask at all: programs of this machine, and no web page."""

from collections.abc import Iterable
from urllib.parse import urlsplit

from litestar import Request
from litestar.enums import ScopeType
from litestar.types import ASGIApp, Receive, Scope, Send

from handlers._http.refusals import refuse

LOOPBACK = frozenset({"localhost", "127.0.0.1", "::1"})


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
