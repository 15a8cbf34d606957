"""Who is let in: programs and this server's own pages; beyond the loopback, whoever has the key."""

import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import httpx
import openai
import pytest

from handlers._http import api_key
from state.errors import ServiceError
from tests.server import CHECKOUT, PATIENCE_S, Server

EVERYWHERE = "0.0.0.0"  # noqa: S104  what a local network needs
KEY = "a-secret-of-our-own"


@pytest.fixture(scope="module")
def lan(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """A server for a local network, with a key that the test's own client sends."""
    options = ("--slots", "0", "--host", EVERYWHERE, "--allowed-host", "lathe.lan", "--allowed-host", "192.168.1.5")
    server = Server(tmp_path_factory.mktemp("lan"), *options, environment={"LATHE_API_KEY": KEY})
    yield server
    server.close()


@pytest.mark.parametrize("path", ["/api/health", "/api/training/jobs", "/api/nothing", "/schema", "/v1/models"])
@pytest.mark.parametrize("authorization", [None, "", "Bearer", "Bearer wrong", f"Basic {KEY}", f"Bearer {KEY}x"])
def test_without_the_key_every_path_answers_401(lan: Server, path: str, authorization: str | None) -> None:
    headers = {"Authorization": authorization or ""}

    reply = lan.http.get(f"http://localhost:{lan.port}{path}", headers=headers)

    assert (reply.status_code, reply.headers["WWW-Authenticate"]) == (401, 'Bearer realm="Lathe"')
    error = reply.json()["error"]
    sentence = error["message"] if path.startswith("/v1") else error
    assert sentence == "This server asks for its key: send it as the header Authorization: Bearer <key>"


@pytest.mark.parametrize("scheme", ["Bearer", "bearer"])
def test_with_the_key_the_server_answers_to_the_names_it_was_given(lan: Server, scheme: str) -> None:
    headers = {"Authorization": f"{scheme} {KEY}"}

    for host in ("localhost", "lathe.lan", "LATHE.LAN", f"192.168.1.5:{lan.port}"):
        assert lan.get("/health", headers=headers | {"Host": host}).status_code == 200
    for host in ("evil.example", "lathe.lan.evil.example"):
        assert lan.get("/health", headers=headers | {"Host": host}).status_code == 403


def test_a_browser_asks_its_user_for_the_key(lan: Server) -> None:
    def ask(path: str, password: str) -> httpx.Response:
        return httpx.get(f"http://localhost:{lan.port}{path}", auth=("anybody", password), timeout=PATIENCE_S)

    assert ask("/", "wrong").headers["WWW-Authenticate"] == 'Basic realm="Lathe"'
    assert ask("/api/health", "wrong").headers["WWW-Authenticate"] == 'Bearer realm="Lathe"'
    assert all(ask(path, KEY).status_code == 200 for path in ("/", "/ui/app.js", "/api/health"))


def test_openais_client_sends_the_key_as_it_sends_theirs(lan: Server) -> None:
    base = f"http://localhost:{lan.port}/v1"

    with openai.OpenAI(base_url=base, api_key=KEY) as client:
        assert "tiny-python" in {model.id for model in client.models.list()}
    with openai.OpenAI(base_url=base, api_key="sk-wrong") as client, pytest.raises(openai.AuthenticationError) as told:
        client.models.list()
    assert told.value.code == "invalid_api_key"


def test_the_key_is_written_nowhere(lan: Server) -> None:
    lan.get("/health")

    for file in (path for path in lan.root.rglob("*") if path.is_file()):
        assert KEY.encode() not in file.read_bytes(), file


@pytest.mark.parametrize("host", [EVERYWHERE, "::", "", "192.168.1.5", "lathe.lan"])
def test_a_server_that_others_could_reach_without_a_key_does_not_start(tmp_path: Path, host: str) -> None:
    with pytest.raises(ServiceError, match="set LATHE_API_KEY to a secret"):
        api_key.check(None, host)
    api_key.check(KEY, host)

    if host == EVERYWHERE:
        command = [sys.executable, "main.py", "--root", str(tmp_path / "root"), "--host", host]
        done = subprocess.run(command, cwd=CHECKOUT, capture_output=True, text=True, check=False, timeout=PATIENCE_S)
        assert done.returncode == 1
        assert done.stderr.startswith("Whoever reaches 0.0.0.0 could use this server: set LATHE_API_KEY to a secret")
        assert not (tmp_path / "root").exists()


@pytest.mark.parametrize("host", ["127.0.0.1", "localhost", "::1", "127.0.0.2"])
def test_on_the_loopback_no_key_is_needed(host: str) -> None:
    api_key.check(None, host)


@pytest.mark.parametrize("key", ["two words", "clé", "line\nbreak"])
def test_a_key_that_no_header_can_carry_is_refused_at_the_start(key: str) -> None:
    with pytest.raises(ServiceError, match="no header carries others"):
        api_key.check(key, "127.0.0.1")


@pytest.mark.parametrize("path", ["/api/adapters/unload", "/v1/completions", "/api/nothing"])
@pytest.mark.parametrize(
    ("headers", "is_let_in"),
    [
        ({}, True),
        ({"Origin": "http://localhost:{port}"}, True),
        ({"Origin": "http://localhost:{port}", "Sec-Fetch-Site": "same-origin"}, True),
        ({"Sec-Fetch-Site": "none"}, True),
        ({"Origin": "http://127.0.0.1:{port}", "Host": "127.0.0.1:{port}"}, True),
        ({"Origin": "http://localhost:3000"}, False),
        ({"Origin": "http://localhost"}, False),
        ({"Origin": "https://localhost:{port}"}, False),
        ({"Origin": "http://127.0.0.1:{port}"}, False),
        ({"Origin": "http://localhost:{port}.evil.example"}, False),
        ({"Origin": "https://evil.example"}, False),
        ({"Origin": "null"}, False),
        ({"Sec-Fetch-Site": "cross-site"}, False),
        ({"Sec-Fetch-Site": "same-site"}, False),
        ({"Origin": "http://localhost:3000", "Sec-Fetch-Site": "same-site"}, False),
        ({"Host": "evil.example:{port}"}, False),
        ({"Host": "evil.example:{port}", "Origin": "http://evil.example:{port}"}, False),
        ({"Host": "evil.example:{port}", "Sec-Fetch-Site": "same-origin"}, False),
    ],
)
def test_only_programs_and_this_servers_own_pages_are_let_in(
    queueing: Server,
    path: str,
    headers: dict[str, str],
    is_let_in: bool,  # noqa: FBT001
) -> None:
    sent = {name: value.format(port=queueing.port) for name, value in headers.items()}

    reply = queueing.http.post(f"http://localhost:{queueing.port}{path}", headers=sent)

    assert (reply.status_code != 403) == is_let_in
    error = reply.json()["error"]
    assert isinstance(error["message"] if path.startswith("/v1") else error, str)


def test_a_page_of_an_allowed_host_asks_from_its_own_port_alone(lan: Server) -> None:
    host = {"Host": f"lathe.lan:{lan.port}"}

    own = lan.get("/health", headers=host | {"Origin": f"http://lathe.lan:{lan.port}"})
    other = lan.get("/health", headers=host | {"Origin": "http://lathe.lan:3000"})

    assert (own.status_code, other.status_code) == (200, 403)
