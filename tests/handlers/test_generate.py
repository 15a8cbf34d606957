import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import httpx
import pytest

from tests.server import PATIENCE_S, Server, wait_until
from tests.unloadable import unloadable


def test_a_base_model_answers_where_it_is_named(training: Server) -> None:
    reply = training.post("/generate", {"prompt": "def f(", "model_name": "toy", "max_new_tokens": 5})

    answer = reply.json()
    assert reply.status_code == 200
    assert (answer["model_name"], answer["adapter_name"]) == ("toy", None)
    assert (answer["completion_tokens"], answer["finish_reason"]) == (5, "length")
    assert answer["prompt_tokens"] > 1
    assert set(answer) == {
        "text",
        "model_name",
        "adapter_name",
        "prompt_tokens",
        "completion_tokens",
        "finish_reason",
    }


@pytest.mark.parametrize(
    ("fields", "error"),
    [
        ({"prompt": ""}, "prompt must have at least 1 characters"),
        ({"prompt": 3}, "prompt must be a string"),
        ({"max_new_tokens": 0}, "max_new_tokens must be at least 1"),
        ({"temperature": -1}, "temperature must be at least 0"),
        ({"top_p": 0}, "top_p must be greater than 0.0"),
        ({"model_name": "nothing"}, "Model nothing not available"),
        ({"max_new_tokens": 1000}, "but the model's context is 256 tokens"),
        ({"maximum": 3}, "unknown field maximum"),
    ],
)
def test_generate_refuses_what_cannot_be_meant(training: Server, fields: dict[str, Any], error: str) -> None:
    reply = training.post("/generate", {"prompt": "x", "model_name": "toy"} | fields)

    assert reply.status_code == 400
    assert error in reply.json()["error"]


@pytest.mark.parametrize("is_streamed", [False, True])
def test_a_refused_completion_is_in_the_servers_and_the_workers_log_by_one_id(
    training: Server,
    is_streamed: bool,  # noqa: FBT001
) -> None:
    asked = {"model": "toy", "prompt": "a secret", "max_tokens": 1000, "stream": is_streamed}
    name = f"refused-{is_streamed}"

    training.http.post(f"http://localhost:{training.port}/v1/completions", json=asked, headers={"X-Request-ID": name})

    def told() -> list[str]:
        return [line.split(": ")[0] for line in training.log.read_text().splitlines() if f"[{name}]" in line]

    wait_until(lambda: len(told()) == 2, "both logs have it")
    assert ["inference worker" in told()[0], "lathe.requests" in told()[1]] == [True, True]
    assert "a secret" not in training.log.read_text()


def test_the_server_answers_while_a_model_loads_and_generates(
    start_server: Callable[..., Server], tmp_path: Path, endless: Path
) -> None:
    """A worker takes seconds to load a model, this one as long as the test likes; it generates for an hour then."""
    (tmp_path / "models").mkdir()
    (tmp_path / "models" / "endless").symlink_to(endless)
    server = start_server("--slots", "0")
    generates, may_end = threading.Event(), threading.Event()

    def generate() -> None:
        asked = {"prompt": "def f(", "model": "endless", "max_tokens": 100_000, "stream": True}
        url = f"http://localhost:{server.port}/v1/completions"
        with httpx.stream("POST", url, json=asked, timeout=PATIENCE_S) as answer:
            next(answer.iter_lines())
            generates.set()
            may_end.wait(PATIENCE_S)

    asking = threading.Thread(target=generate)
    with unloadable(tmp_path, "endless"):
        asking.start()
        wait_until(lambda: server.get("/machine").json()["inference"]["requests_running"] == 1, "it is asked")
        for _ in range(10):
            assert server.get("/training/jobs").status_code == 200
        assert not generates.is_set()
    while not generates.is_set():
        assert asking.is_alive()
        assert server.get("/training/jobs").status_code == 200
        time.sleep(0.02)  # this test is to measure the server, and not to keep a core busy
    for _ in range(10):
        assert server.get("/training/jobs").status_code == 200
    may_end.set()
    asking.join()
