"""The dashboard's files, as browsers ask for them."""

import json
import re
from collections.abc import Iterator

import httpx
import pytest

from handlers._http import assets
from tests.server import CHECKOUT, Server


@pytest.fixture(scope="module")
def still(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """A server that says the same again: nobody else's jobs go on, or go, between two looks at its page."""
    server = Server(tmp_path_factory.mktemp("still"), "--slots", "0")
    yield server
    server.close()


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
def test_a_head_request_is_answered_like_a_get_without_its_body(still: Server, path: str) -> None:
    head, get = _ask(still, path, "HEAD"), _ask(still, path)

    assert (head.status_code, head.content) == (200, b"")
    assert _own(head.headers) == _own(get.headers)


def _own(headers: httpx.Headers) -> dict[str, str]:
    """Those that are not of the one request."""
    return {name: value for name, value in headers.items() if name not in {"date", "x-request-id"}}


def test_the_policy_allows_no_inline_code_and_the_page_has_none(queueing: Server) -> None:
    reply = _ask(queueing, "/")

    policy = dict(rule.strip().split(" ", 1) for rule in reply.headers["content-security-policy"].split(";"))
    inline = re.findall(r"<script(?![^>]* src=)([^>]*)>", reply.text)
    assert policy["script-src"] == policy["style-src"] == "'self'"
    assert policy["default-src"] == "'none'"
    assert inline == [' type="application/json" id="answers"']


def test_the_page_brings_the_answers_that_its_list_of_jobs_begins_with(still: Server) -> None:
    job_id = still.start(adapter_name="a", description="</script><script>alert(1)</script>")

    page = _ask(still, "/").text

    inside = page.partition('id="answers">')[2].partition("</script>")[0]
    answers = json.loads(inside)
    assert "<" not in inside
    assert job_id in [job["job_id"] for job in answers["/api/training/jobs?limit=50"]["jobs"]]
    for path, answer in answers.items():
        assert answer == _ask(still, path).json(), path


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


def test_a_page_comes_with_its_modules_and_without_those_that_are_there(queueing: Server) -> None:
    app, page = (_ask(queueing, path).text for path in ("/ui/app.js", "/ui/pages/machine.js"))
    for path in re.findall(r'import\("\./([^"]+)"\)', app):
        assert re.search(r"^export const \{.*\bView\b", _ask(queueing, f"/ui/{path}").text, re.MULTILINE)

    defined = re.compile(r'^modules\["([^"]+)"\] \?\?=', re.MULTILINE)
    of_app, of_page = defined.findall(app), defined.findall(page)
    assert of_app[-1] == "app.js"
    assert {"vendor/preact.mjs", "lib/store.js", "pages/jobs.js"} <= set(of_app)
    assert of_page == ["pages/machine.js"]
    assert _ask(queueing, "/ui/lib/store.js").content == (assets.FOLDER / "lib/store.js").read_bytes()


def test_every_script_comes_from_the_page_itself() -> None:
    for file in assets.FOLDER.rglob("*.*js"):
        if "vendor" not in file.parts:
            assert "http://" not in file.read_text().replace("http://localhost", ""), file
            assert "https://" not in file.read_text(), file
