"""The dashboard's files as a browser is sent them: compressed, and with headers that keep strangers off the page."""

import gzip
import hashlib
from functools import lru_cache
from pathlib import Path
from typing import Any

import msgspec
from litestar import Request, Response
from litestar.exceptions import NotFoundException
from msgspec import Struct

from handlers._http import together

FOLDER = Path(__file__).resolve().parents[2] / "dashboard"
PAGE = "index.html"
NO_ANSWERS = b'<script type="application/json" id="answers">{}</script>'
"""In the page's file: where the server puts answers. It is data: a browser runs nothing of it."""
PAGE_LEVEL = 5  # compressed at each request: 1 ms
PROMISES = {
    "Content-Security-Policy": (
        "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; connect-src 'self'; base-uri 'none'; "
        "form-action 'none'; frame-ancestors 'none'; require-trusted-types-for 'script'; trusted-types lathe"
    ),
    "Referrer-Policy": "no-referrer",
    "Cross-Origin-Opener-Policy": "same-origin",
}
"""What a browser refuses on the page's behalf: anything from elsewhere, inline code, and text that would become HTML or
the address of a script, but for the one that dashboard/lib/library.js loads.
"""
TYPES = {
    ".html": "text/html",
    ".css": "text/css",
    ".js": "text/javascript",
    ".mjs": "text/javascript",
    ".svg": "image/svg+xml",
    ".LICENSE": "text/plain",
}
"""What may be asked for, and its type: `mimetypes` would ask the system's registry on Windows."""


class Asset(Struct, frozen=True):
    body: bytes
    compressed: bytes
    etag: str
    media_type: str


def answer(request: Request[Any, Any, Any], name: str) -> Response[bytes]:
    """A file of `dashboard/`. An edited one is seen at the next reload; one that the browser has costs no bytes.

    Raises NotFoundException.
    """
    return _send(request, _find(name))


def page(request: Request[Any, Any, Any], answers: dict[str, bytes]) -> Response[bytes]:
    """The page itself, with answers of the API in it: JSON by path, which dashboard/lib/given.js reads."""
    parts = b",".join(msgspec.json.encode(path) + b":" + answer for path, answer in answers.items())
    harmless = parts.replace(b"<", b"\\u003c")  # a text in it cannot end its element
    body = _find(PAGE).body.replace(NO_ANSWERS, NO_ANSWERS.replace(b"{}", b"{" + harmless + b"}"))
    return _send(request, _pack(body, TYPES[".html"], PAGE_LEVEL))


def _send(request: Request[Any, Any, Any], asset: Asset) -> Response[bytes]:
    headers = {
        "Cache-Control": "no-cache",  # ask each time: over the loopback it takes 0.3 ms, and an update is seen at once
        "ETag": asset.etag,
        "Vary": "Accept-Encoding",
        "X-Content-Type-Options": "nosniff",
        "Cross-Origin-Resource-Policy": "same-origin",
    }
    if asset.media_type == TYPES[".html"]:
        headers |= PROMISES
    if asset.etag in request.headers.get("if-none-match", ""):
        return Response(b"", status_code=304, headers=headers, media_type=asset.media_type)
    body = asset.body
    if "gzip" in request.headers.get("accept-encoding", ""):
        headers["Content-Encoding"], body = "gzip", asset.compressed
    return Response(body, headers=headers, media_type=asset.media_type)


def _find(name: str) -> Asset:
    path = FOLDER / name.lstrip("/")
    if path.suffix not in TYPES or ".." in path.parts or not path.is_relative_to(FOLDER):
        raise NotFoundException
    name = path.relative_to(FOLDER).as_posix()
    try:
        body = together.put_together(FOLDER, name) if together.is_entry(FOLDER, name) else path.read_bytes()
    except (OSError, ValueError):  # a name with a null byte, or longer than any
        raise NotFoundException from None
    return _packed(body, TYPES[path.suffix])


@lru_cache(maxsize=128)
def _packed(body: bytes, media_type: str) -> Asset:
    return _pack(body, media_type, level=9)


def _pack(body: bytes, media_type: str, level: int) -> Asset:
    digest = hashlib.sha256(body).hexdigest()[:20]
    return Asset(body, gzip.compress(body, level, mtime=0), f'"{digest}"', media_type)
