"""Who may ask at all: programs, and pages that this server sent itself; no other page, wherever it comes from."""

from collections.abc import Iterable
from urllib.parse import urlsplit

from litestar.enums import ScopeType
from litestar.types import ASGIApp, Receive, Scope, Send

from handlers._http.refusals import refusing

LOOPBACK = frozenset({"localhost", "127.0.0.1", "::1"})
_HEADERS = (b"host", b"origin", b"sec-fetch-site")


class SameOrigin:
    """ASGI application in front of another, against web pages that reach for it through their visitor's browser.

    `Host` must be a name that this server goes by: DNS rebinding sends another. `Sec-Fetch-Site`, which browsers send
    and pages cannot change, must say that the request comes from this server's own page or from the visitor. Browsers
    leave it out on plain HTTP beyond the loopback: then `Origin` must be this server's own, port included. Programs
    send neither.
    """

    def __init__(self, app: ASGIApp, names: Iterable[str]) -> None:
        self._app = app
        self._names = LOOPBACK | {name.lower() for name in names}

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        refusal = self._refusal(scope) if scope["type"] == ScopeType.HTTP else None
        if refusal is None:
            await self._app(scope, receive, send)
        else:
            await refusing(scope, 403, refusal)(scope, receive, send)

    def _refusal(self, scope: Scope) -> str | None:
        headers = {name: value.decode("latin-1").lower() for name, value in scope["headers"] if name in _HEADERS}
        address = headers.get(b"host", "")
        host = _hostname(f"//{address}")
        if host not in self._names:
            named = repr(host or "of no Host header")
            return f"This server does not answer to the host name {named}: use localhost, or --allowed-host"
        origin, site = headers.get(b"origin"), headers.get(b"sec-fetch-site")
        if site in {"same-origin", "none"} or (site is None and origin in {None, f"{scope['scheme']}://{address}"}):
            return None
        return f"Requests from pages of {origin or 'another site'} are refused: only this server's own may ask"


def _hostname(url: str) -> str:
    try:
        return (urlsplit(url).hostname or "").lower()
    except ValueError:
        return ""
