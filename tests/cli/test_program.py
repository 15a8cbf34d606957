"""The program as a whole: its help, what it imports, how it ends without a server."""

import json
import os
import subprocess
import sys
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest
from click.testing import CliRunner

from cli._shared.program import program
from tests.cli.conftest import Lathe
from tests.server import CHECKOUT, Server

KEY = "a-secret-of-our-own"


def test_the_help_lists_each_module_with_its_first_line() -> None:
    shown = CliRunner().invoke(program, ["--help"], terminal_width=200).output

    for module in (CHECKOUT / "cli").glob("[a-z]*.py"):
        name = module.stem.rstrip("_").replace("_", "-")
        first_line = module.read_text().partition("\n")[0].strip('".')
        assert any(line.split(maxsplit=1) == [name, first_line] for line in shown.splitlines()), name


@pytest.mark.parametrize("program", ["cli.__main__", "main"])
def test_only_the_command_that_runs_is_imported(program: str) -> None:
    told = f"import sys, {program}; {program}.main(['jobs', '--help']); print(*sys.modules)"

    done = subprocess.run([sys.executable, "-c", told], cwd=CHECKOUT, capture_output=True, text=True, check=True)

    modules = set(done.stdout.splitlines()[-1].split())
    assert {name for name in modules if name.startswith("cli.") and "_" not in name} == {"cli.jobs"}
    others = {
        "rich",
        "httpx",
        "msgspec",
        "litestar",
        "uvicorn",
        "torch",
        "handlers",
        "runtime",
        "server",
        "http.client",
    }
    assert not modules & others


@pytest.mark.parametrize(
    ("imported", "command"), [("click", "-m cli jobs"), ("click", "main.py jobs"), ("uvicorn", "main.py serve")]
)
def test_ctrl_c_while_a_command_is_imported_leaves_no_traceback(tmp_path: Path, imported: str, command: str) -> None:
    (tmp_path / f"{imported}.py").write_text("import os, signal; os.kill(os.getpid(), signal.SIGINT)")
    environment = os.environ | {"PYTHONPATH": str(tmp_path)}

    done = subprocess.run(
        [sys.executable, *command.split()], cwd=CHECKOUT, env=environment, capture_output=True, text=True, check=False
    )

    assert (done.returncode, done.stdout, done.stderr) == (130, "", "")


@pytest.mark.parametrize("arguments", [["jobz"], ["train", "rows.jsonl"]])
def test_wrong_usage_ends_with_2(lathe_alone: Lathe, arguments: list[str]) -> None:
    done = lathe_alone(*arguments)

    assert (done.code, done.out) == (2, "")
    assert "Usage: lathe" in done.err


def test_a_server_that_is_not_there_is_said_in_one_sentence_with_the_command_that_starts_it(tmp_path: Path) -> None:
    (tmp_path / ".server.json").write_text(json.dumps({"pid": os.getpid(), "url": "http://0.0.0.0:1"}))

    here = Lathe(tmp_path, LATHE_ROOT=str(tmp_path))("jobs")
    elsewhere = Lathe(tmp_path, LATHE_URL="http://localhost:1")("jobs")

    assert (here.code, here.out) == (7, "")
    assert here.err.startswith("The server at http://localhost:1 is not running.  Start it:  python -m cli serve  ")
    assert (elsewhere.code, elsewhere.out) == (7, "")
    assert elsewhere.err == "No server answers at http://localhost:1, which LATHE_URL names: Connection refused\n"


def test_the_server_of_the_data_root_is_found_whatever_its_port(queueing: Server, tmp_path: Path) -> None:
    done = Lathe(tmp_path, LATHE_ROOT=str(queueing.root))("models", "--json")

    assert done.out.encode() == queueing.get("/models").content + b"\n"


def test_a_server_that_cannot_listen_says_so_and_nothing_of_a_dashboard(queueing: Server, lathe: Lathe) -> None:
    done = lathe("serve", "--port", str(queueing.port), "--root", str(lathe.folder / "root"), "--no-spare-trainer")

    assert (done.code, done.out, "dashboard" in done.err) == (1, "", False)
    sentence = f"The server cannot listen at http://127.0.0.1:{queueing.port}: choose another --port"
    assert done.err.splitlines()[-1] == sentence


def test_the_doctor_asks_the_server_or_looks_itself(queueing: Server, lathe: Lathe, tmp_path: Path) -> None:
    (tmp_path / ".server.json").write_text(json.dumps({"pid": os.getpid(), "url": "http://localhost:1"}))

    asked, answered = json.loads(lathe("doctor", "--json").out), queueing.get("/machine").json()
    alone = Lathe(tmp_path, LATHE_ROOT=str(tmp_path))("doctor")

    assert asked["packages"] == answered["packages"]
    assert list(asked) == list(answered)
    assert alone.cells[0] == ["warn", "No server runs at http://localhost:1", "python -m cli serve"]
    missing = [cells for cells in alone.cells if cells[0] == "missing"]
    assert alone.code == (3 if missing else 0)
    assert lathe("doctor").cells[0][:2] == ["ok", f"The server at http://localhost:{queueing.port} answers"]


def test_main_py_has_the_same_commands(queueing: Server) -> None:
    environment = os.environ | {"LATHE_URL": f"http://localhost:{queueing.port}"}
    command = [sys.executable, "main.py", "data", "show", "nothing"]

    done = subprocess.run(command, cwd=CHECKOUT, env=environment, capture_output=True, text=True, check=False)

    assert (done.returncode, done.stderr.partition(":")[0]) == (4, "Dataset nothing not found")


class KeyedServer(BaseHTTPRequestHandler):
    """Answers as Lathe does to whoever has the key."""

    def do_GET(self) -> None:
        has_key = self.headers.get("Authorization") == f"Bearer {KEY}"
        answer: dict[str, object] = (
            {"models": [], "problem": None} if has_key else {"error": "This server asks for its key"}
        )
        self.send_response(200 if has_key else 401)
        self.end_headers()
        self.wfile.write(json.dumps(answer).encode())

    def do_POST(self) -> None:
        """As whatever else may listen on a port."""
        self.send_error(404)

    def log_message(self, *_: object) -> None: ...


@pytest.fixture
def keyed(tmp_path: Path) -> Iterator[Lathe]:
    """For a server behind a path of a proxy, which asks for a key."""
    with ThreadingHTTPServer(("127.0.0.1", 0), KeyedServer) as server:
        threading.Thread(target=server.serve_forever).start()
        yield Lathe(tmp_path, LATHE_URL=f"http://127.0.0.1:{server.server_port}/lathe/")
        server.shutdown()


def test_the_key_is_sent_and_its_lack_is_told(keyed: Lathe) -> None:
    with_key, without = keyed("models", LATHE_API_KEY=KEY), keyed("models")

    assert (with_key.code, with_key.err) == (0, "")
    assert (without.code, without.err) == (1, "This server asks for its key (lathe sends what LATHE_API_KEY has)\n")


def test_another_kind_of_server_is_not_taken_for_lathe(keyed: Lathe) -> None:
    done = keyed("unload")

    assert done.code == 7
    assert "answers, but not as a Lathe server does (404 Not Found)" in done.err


def test_a_reader_that_has_enough_is_no_failure(queueing: Server, lathe: Lathe) -> None:
    command = f"set -o pipefail; '{sys.executable}' -m cli models | true; exit 0"

    done = subprocess.run(
        ["bash", "-c", command], cwd=queueing.root, env=lathe.environment, capture_output=True, text=True, check=False
    )

    assert (done.returncode, done.stderr) == (0, "")
