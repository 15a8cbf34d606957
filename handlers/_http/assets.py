"""The dashboard's files as a browser is sent them: compressed, and with headers that keep strangers off the page."""

import base64
import gzip
import hashlib
import os
import re
from functools import lru_cache
from pathlib import Path
from typing import Any

from litestar import Request, Response
from litestar.exceptions import NotFoundException
from msgspec import Struct

FOLDER = Path(__file__).resolve().parents[2] / "dashboard"
PAGE = "index.html"
TYPES = {
    ".html": "text/html",
    ".css": "text/css",
    ".js": "text/javascript",
    ".mjs": "text/javascript",
    ".svg": "image/svg+xml",
    ".LICENSE": "text/plain",
}
"""What may be asked for, and its type: `mimetypes` would ask the system's registry on Windows."""
_IMPORT_MAP = re.compile(rb'<script type="importmap">(.*?)</script>', re.DOTALL)


class Asset(Struct, frozen=True):
    body: bytes
    compressed: bytes
    etag: str
    media_type: str


def answer(request: Request[Any, Any, Any], name: str) -> Response[bytes]:
    """A file of `dashboard/`. An edited one is seen at the next reload; one that the browser has costs no bytes.

    Raises NotFoundException.
    """
    asset = _find(name)
    headers = {
        "Cache-Control": "no-cache",  # ask each time: over the loopback it takes 0.3 ms, and an update is seen at once
        "ETag": asset.etag,
        "Vary": "Accept-Encoding",
        "X-Content-Type-Options": "nosniff",
        "Cross-Origin-Resource-Policy": "same-origin",
    }
    if asset.media_type == TYPES[".html"]:
        headers |= _promises(asset.body)
    if asset.etag in request.headers.get("if-none-match", ""):
        return Response(b"", status_code=304, headers=headers, media_type=asset.media_type)
    body = asset.body
    if "gzip" in request.headers.get("accept-encoding", ""):
        headers["Content-Encoding"], body = "gzip", asset.compressed
    return Response(body, headers=headers, media_type=asset.media_type)


def _promises(page: bytes) -> dict[str, str]:
    """What the browser refuses on the page's behalf: anything from elsewhere, inline code but for the import map, and
    text that would become HTML or the address of a script, but for the one that dashboard/lib/library.js loads.
    """
    return {
        "Content-Security-Policy": (
            f"default-src 'none'; script-src 'self' '{_import_map_hash(page)}'; style-src 'self'; img-src 'self'; "
            "connect-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'; "
            "require-trusted-types-for 'script'; trusted-types lathe"
        ),
        "Referrer-Policy": "no-referrer",
        "Cross-Origin-Opener-Policy": "same-origin",
    }


@lru_cache(maxsize=1)
def _import_map_hash(page: bytes) -> str:
    found = _IMPORT_MAP.search(page)
    code = found[1] if found else b""
    return f"sha256-{base64.b64encode(hashlib.sha256(code).digest()).decode()}"


def _find(name: str) -> Asset:
    path = FOLDER / name.lstrip("/")
    if path.suffix not in TYPES or ".." in path.parts or not path.is_relative_to(FOLDER):
        raise NotFoundException
    try:
        stat = path.stat()
    except (OSError, ValueError):  # a name with a null byte, or longer than any
        raise NotFoundException from None
    return _read(path, stat)


def _read(path: Path, stat: os.stat_result) -> Asset:
    return _read_version(path, stat.st_mtime_ns, stat.st_size)


@lru_cache(maxsize=256)
def _read_version(path: Path, changed: int, size: int) -> Asset:
    del changed, size  # a file of other times is another version
    try:
        body = path.read_bytes()
    except OSError:
        raise NotFoundException from None
    digest = hashlib.sha256(body).hexdigest()[:20]
    return Asset(body, gzip.compress(body, 9, mtime=0), f'"{digest}"', TYPES[path.suffix])
