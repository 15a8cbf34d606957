"""The dashboard's files, as browsers ask for them."""

import base64
import hashlib
import re
from pathlib import Path

import httpx
import pytest

from handlers._http import assets
from tests.server import CHECKOUT, Server


def _ask(server: Server, path: str, method: str = "GET", **headers: str) -> httpx.Response:
    return server.http.request(method, f"http://localhost:{server.port}{path}", headers=headers)


def test_a_file_that_the_browser_has_costs_no_bytes(queueing: Server) -> None:
    first = _ask(queueing, "/ui/app.js")

    again = _ask(queueing, "/ui/app.js", **{"If-None-Match": first.headers["etag"]})

    assert (again.status_code, again.content) == (304, b"")
    assert _ask(queueing, "/ui/style.css", **{"If-None-Match": first.headers["etag"]}).status_code == 200


def test_files_are_compressed_for_those_who_take_it(queueing: Server) -> None:
    plain = _ask(queueing, "/ui/vendor/uPlot.iife.min.js", **{"Accept-Encoding": "identity"})
    small = _ask(queueing, "/ui/vendor/uPlot.iife.min.js", **{"Accept-Encoding": "gzip"})

    assert plain.content == small.content == (CHECKOUT / "dashboard/vendor/uPlot.iife.min.js").read_bytes()
    assert int(small.headers["content-length"]) < int(plain.headers["content-length"]) / 2
    assert small.headers["content-type"] == "text/javascript; charset=utf-8"


@pytest.mark.parametrize("path", ["/", "/ui/app.js"])
def test_a_head_request_is_answered_like_a_get_without_its_body(queueing: Server, path: str) -> None:
    head, get = _ask(queueing, path, "HEAD"), _ask(queueing, path)

    assert (head.status_code, head.content) == (200, b"")
    assert _own(head.headers) == _own(get.headers)


def _own(headers: httpx.Headers) -> dict[str, str]:
    """Those that are not of the one request."""
    return {name: value for name, value in headers.items() if name not in {"date", "x-request-id"}}


def test_the_policy_allows_the_page_its_own_import_map_and_no_other_inline_code(queueing: Server) -> None:
    reply = _ask(queueing, "/")

    policy = dict(rule.strip().split(" ", 1) for rule in reply.headers["content-security-policy"].split(";"))
    scripts = re.findall(r"<script(?![^>]* src=)[^>]*>(.*?)</script>", reply.text, re.DOTALL)
    sums = [base64.b64encode(hashlib.sha256(code.encode()).digest()).decode() for code in scripts]
    assert policy["script-src"] == " ".join(["'self'", *(f"'sha256-{one}'" for one in sums)])
    assert policy["default-src"] == "'none'"
    assert len(scripts) == 1
    assert "unsafe" not in reply.headers["content-security-policy"]


@pytest.mark.parametrize(
    "path",
    [
        "/ui/nothing.js",
        "/ui/vendor/refresh.py",
        "/ui/..%2fmain.py",
        "/ui/%2e%2e/LICENSE",
        "/ui//etc/passwd.css",
        "/ui/x%00.js",
        "/ui/" + "x" * 300 + ".js",
        "/ui/parts",
    ],
)
def test_nothing_but_the_dashboards_files_is_sent(queueing: Server, path: str) -> None:
    reply = _ask(queueing, path)

    assert reply.status_code == 404
    assert reply.json()["error"].startswith("No endpoint at /ui/")


def test_the_page_asks_at_once_for_all_modules_of_its_first_view() -> None:
    page = (assets.FOLDER / "index.html").read_text()
    asked = {assets.FOLDER / path for path in re.findall(r'<link rel="modulepreload" href="/ui/([^"]+)">', page)}

    assert {path for path in asked if "vendor" not in path.parts} == _imported(assets.FOLDER / "app.js", set())


def _imported(module: Path, known: set[Path]) -> set[Path]:
    """A module, and whatever it imports before it runs."""
    if module not in known:
        known.add(module)
        for path in re.findall(r'^import [^;]*? from "(\.[^"]+)";$', module.read_text(), re.MULTILINE):
            _imported((module.parent / path).resolve(), known)
    return known


def test_every_script_comes_from_the_page_itself() -> None:
    for file in assets.FOLDER.rglob("*.*js"):
        if "vendor" not in file.parts:
            assert "http://" not in file.read_text().replace("http://localhost", ""), file
            assert "https://" not in file.read_text(), file
