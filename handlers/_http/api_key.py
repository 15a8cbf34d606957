"""The key that a server asks for which others than its own machine can reach: `Authorization: Bearer <key>`.

A browser asks its user for it: the dashboard's page asks for a password, and the browser then sends it with whatever
the page asks for (`Basic`, with any user name).
"""

import base64
import binascii
import hmac
import ipaddress

from litestar.enums import ScopeType
from litestar.types import ASGIApp, Receive, Scope, Send

from handlers._http.refusals import refusing
from state.errors import ServiceError

VARIABLE = "LATHE_API_KEY"


class ApiKey:
    """ASGI application in front of another that lets through whoever has the key, on every path."""

    def __init__(self, app: ASGIApp, key: str) -> None:
        self._app = app
        self._key = key.encode()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != ScopeType.HTTP or self._is_in(scope):
            await self._app(scope, receive, send)
            return
        sentence = "This server asks for its key: send it as the header Authorization: Bearer <key>"
        scheme = "Basic" if scope["path"] == "/" else "Bearer"  # no window of the browser's for what scripts ask
        await refusing(scope, 401, sentence, {"WWW-Authenticate": f'{scheme} realm="Lathe"'})(scope, receive, send)

    def _is_in(self, scope: Scope) -> bool:
        authorization = next((value for name, value in scope["headers"] if name == b"authorization"), b"")
        scheme, _, key = authorization.partition(b" ")
        match scheme.lower():
            case b"bearer":
                return hmac.compare_digest(key.strip(), self._key)
            case b"basic":
                return hmac.compare_digest(_password(key), self._key)
        return False


def _password(credentials: bytes) -> bytes:
    try:
        return base64.b64decode(credentials).partition(b":")[2]
    except binascii.Error:
        return b""


def check(key: str | None, host: str) -> None:
    """Raise ServiceError for a server that others could reach without a key, and for a key that none can send."""
    if key is None and not _is_loopback(host):
        raise ServiceError(
            f"Whoever reaches {host} could use this server: set {VARIABLE} to a secret, which clients then send as "
            "Authorization: Bearer <key>, or listen on 127.0.0.1"
        )
    if key is not None and not (key.isascii() and key.isprintable() and " " not in key):
        raise ServiceError(f"{VARIABLE} must be of printable ASCII characters without spaces: no header carries others")


def _is_loopback(host: str) -> bool:
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False
