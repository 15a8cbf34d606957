"""Each request has an id, in its answer and in the log, which has no bodies."""

import json
from collections.abc import Callable
from pathlib import Path

from tests.server import Server, wait_until


def test_a_client_finds_its_requests_id_in_the_answer(queueing: Server) -> None:
    own = queueing.get("/health", headers={"X-Request-ID": "mine-1.2_3"})
    made = [queueing.get("/nothing").headers["X-Request-ID"] for _ in range(2)]
    forged = queueing.get("/health", headers={"X-Request-ID": "mine [mine]"})

    assert own.headers["X-Request-ID"] == "mine-1.2_3"
    assert len(set(made)) == 2
    assert "mine" not in forged.headers["X-Request-ID"]
    wait_until(lambda: all(f"[{one}]" in queueing.log.read_text() for one in made), "the refusals are logged")
    assert "mine-1.2_3" not in queueing.log.read_text()  # reading what there is is not worth a line


def test_the_log_tells_what_was_asked_in_json_and_nothing_of_bodies(
    start_server: Callable[..., Server], tmp_path: Path
) -> None:
    server = start_server("--slots", "0", "--log-format", "json", "--log-level", "debug")
    headers = {"X-Request-ID": "one"}
    server.post("/training/start", {"model_name": "tiny-python", "train_texts": ["a secret"]}, headers=headers)
    server.post("/training/start", {"model_name": "tiny-python", "secret": 1}, headers={"X-Request-ID": "two"})
    (tmp_path / "training_data").rmdir()
    (tmp_path / "training_data").write_text("no folder")

    failed = server.get("/training/data", headers={"X-Request-ID": "three"})

    assert (failed.status_code, failed.json()) == (
        500,
        {"error": "Failed to list data sets: Internal server error; the log has more of the request three"},
    )
    wait_until(lambda: '"route":"/api/training/data"' in server.log.read_text(), "the request is logged")
    text = server.log.read_text()
    lines = [json.loads(line) for line in text.splitlines()]
    assert "secret" not in text
    told = {line["request"]: line for line in lines if line["logger"] == "lathe.requests"}
    assert {"method": "POST", "route": "/api/training/start", "status": 200}.items() <= told["one"].items()
    assert told["two"]["status"] == 400
    assert (told["three"]["status"], told["three"]["bytes"]) == (500, len(failed.content))
    trace = next(line for line in lines if "traceback" in line)
    assert (trace["request"], "NotADirectoryError" in trace["traceback"]) == ("three", True)
