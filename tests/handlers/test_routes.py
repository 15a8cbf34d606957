"""Promises of the whole HTTP interface: where its code lies, and the shape of every refusal."""

import http.client
import inspect
import json
import re
from pathlib import Path

import httpx
import pytest
from litestar import post
from litestar.handlers import HTTPRouteHandler
from litestar.params import JSONBody
from litestar.testing import create_test_client
from msgspec import Struct

import handlers
from handlers._http.refusals import PROTOCOL_PATHS
from handlers._http.requests import DeclaredRequest, check
from tests.server import CHECKOUT, PATIENCE_S, Server

SPECIFIED = {
    "POST /api/training/start": "training/start.py",
    "POST /api/training/plan": "training/plan.py",
    "GET /api/training/status/{job_id}": "training/status.py",
    "GET /api/training/jobs": "training/jobs/list.py",
    "GET /api/training/jobs/{job_id}": "training/jobs/show.py",
    "DELETE /api/training/jobs/{job_id}": "training/jobs/delete.py",
    "POST /api/training/stop/{job_id}": "training/stop.py",
    "POST /api/training/pause/{job_id}": "training/pause.py",
    "POST /api/training/resume/{job_id}": "training/resume.py",
    "GET /api/training/metrics/{job_id}": "training/metrics.py",
    "GET /api/training/samples/{job_id}": "training/samples.py",
    "GET /api/training/logs/{job_id}": "training/logs.py",
    "POST /api/training/data/upload": "training/data/upload.py",
    "GET /api/training/data": "training/data/list.py",
    "GET /api/training/data/{dataset_name}": "training/data/show.py",
    "GET /api/training/data/{dataset_name}/report": "training/data/report.py",
    "GET /api/training/data/{dataset_name}/preview": "training/data/preview.py",
    "PATCH /api/training/data/{dataset_name}": "training/data/update.py",
    "DELETE /api/training/data/{dataset_name}": "training/data/delete.py",
    "GET /api/adapters": "adapters/list.py",
    "GET /api/adapters/{adapter_name}": "adapters/show.py",
    "PATCH /api/adapters/{adapter_name}": "adapters/update.py",
    "POST /api/adapters/{adapter_name}/load": "adapters/load.py",
    "POST /api/adapters/import": "adapters/import_.py",
    "POST /api/adapters/{adapter_name}/export": "adapters/export.py",
    "POST /api/adapters/unload": "adapters/unload.py",
    "DELETE /api/adapters/{adapter_name}": "adapters/delete.py",
    "POST /api/generate": "generate.py",
    "GET /api/models": "models.py",
    "GET /api/health": "health.py",
    "GET /api/events": "events.py",
    "GET /api/machine": "machine.py",
    "POST /v1/files": "v1/files/upload.py",
    "GET /v1/files": "v1/files/list.py",
    "GET /v1/files/{file_id}": "v1/files/show.py",
    "GET /v1/files/{file_id}/content": "v1/files/content.py",
    "DELETE /v1/files/{file_id}": "v1/files/delete.py",
    "POST /v1/fine_tuning/jobs": "v1/fine_tuning/jobs/create.py",
    "GET /v1/fine_tuning/jobs": "v1/fine_tuning/jobs/list.py",
    "GET /v1/fine_tuning/jobs/{job_id}": "v1/fine_tuning/jobs/show.py",
    "GET /v1/fine_tuning/jobs/{job_id}/events": "v1/fine_tuning/jobs/events.py",
    "GET /v1/fine_tuning/jobs/{job_id}/checkpoints": "v1/fine_tuning/jobs/checkpoints.py",
    "POST /v1/fine_tuning/jobs/{job_id}/cancel": "v1/fine_tuning/jobs/cancel.py",
    "POST /v1/fine_tuning/jobs/{job_id}/pause": "v1/fine_tuning/jobs/pause.py",
    "POST /v1/fine_tuning/jobs/{job_id}/resume": "v1/fine_tuning/jobs/resume.py",
    "GET /v1/models": "v1/models/list.py",
    "GET /v1/models/{name}": "v1/models/show.py",
    "DELETE /v1/models/{name}": "v1/models/delete.py",
    "POST /v1/load_lora_adapter": "v1/load_lora_adapter.py",
    "POST /v1/unload_lora_adapter": "v1/unload_lora_adapter.py",
    "POST /v1/completions": "v1/completions.py",
    "POST /v1/chat/completions": "v1/chat/completions.py",
    "POST /tokenize": "at_root/tokenize.py",
    "POST /detokenize": "at_root/detokenize.py",
    "GET /metrics": "at_root/metrics.py",
    "GET /tokenizer_info": "at_root/tokenizer_info.py",
    "GET /": "at_root/page.py",
    "GET /ui/{path}": "at_root/ui.py",
}
DASHBOARD = {"GET /", "GET /ui/{path}"}
"""What people look at: no part of the API, nor of its description."""


def _handlers() -> dict[str, HTTPRouteHandler]:
    """By method and path."""
    return {_route(place, handler): handler for place, found in handlers.find_handlers().items() for handler in found}


def _route(place: str, handler: HTTPRouteHandler) -> str:
    path = re.sub(r"\{(\w+):\w+\}", r"{\1}", next(iter(handler.paths)))
    return f"{min(handler.http_methods)} {place.rstrip('/')}{path}"


def _sentence(path: str, reply: httpx.Response) -> str:
    error = reply.json()["error"]
    return str(error["message"] if path.startswith(PROTOCOL_PATHS) else error)


def _file(handler: HTTPRouteHandler) -> str:
    return str(Path(inspect.getfile(handler.fn)).relative_to(CHECKOUT / "handlers"))


def test_every_endpoint_has_a_file_of_its_own_where_its_path_says() -> None:
    assert {route: _file(handler) for route, handler in _handlers().items()} == SPECIFIED
    assert sum(map(len, handlers.find_handlers().values())) == len(SPECIFIED)


def test_every_endpoint_file_opens_with_its_method_and_path() -> None:
    for route, handler in _handlers().items():
        module = inspect.getmodule(handler.fn)

        assert module is not None
        assert (module.__doc__ or "").startswith(f"{route}: ")


def test_every_endpoint_says_what_failed_when_it_fails() -> None:
    assert all("action" in handler.opt for handler in _handlers().values())


@pytest.mark.parametrize("route", SPECIFIED)
def test_every_path_refuses_a_wrong_method_in_the_one_shape(queueing: Server, route: str) -> None:
    path = route.split(" ")[1].replace("{", "").replace("}", "")

    reply = queueing.http.request("PUT", f"http://localhost:{queueing.port}{path}")

    assert reply.status_code == 405
    assert list(reply.json()) == ["error"]
    assert "use" in _sentence(path, reply)


@pytest.mark.parametrize(
    ("route", "error"),
    [
        ("GET /training/status/x", "Job x not found"),
        ("GET /training/metrics/x", "Job x not found"),
        ("GET /training/jobs/x", "Job x not found"),
        ("GET /training/logs/x", "Job x not found"),
        ("POST /training/stop/x", "Job x not found"),
        ("POST /training/resume/x", "Job x not found"),
        ("DELETE /training/jobs/x", "Job x not found"),
        ("GET /adapters/x", "Adapter x not found"),
        ("POST /adapters/x/load", "Adapter x not found"),
        ("DELETE /adapters/x", "Adapter x not found"),
        ("GET /adapters/..%2f..%2fstate", "No endpoint at /api/adapters/../../state"),
        ("GET /adapters/.hidden", "Adapter .hidden not found"),
        ("GET /nothing", "No endpoint at /api/nothing"),
    ],
)
def test_what_does_not_exist_is_a_404_by_its_name(queueing: Server, route: str, error: str) -> None:
    method, path = route.split(" ")

    reply = queueing.http.request(method, path)

    assert (reply.status_code, reply.json()) == (404, {"error": error})


def test_a_body_that_is_not_json_is_refused(queueing: Server) -> None:
    broken = queueing.http.post(
        "/training/start", content=b'{"model_name": ', headers={"Content-Type": "application/json"}
    )
    form = queueing.http.post("/training/start", data={"model_name": "x"})
    deep = queueing.http.post("/training/start", content=b"[" * 100_000, headers={"Content-Type": "application/json"})

    assert (broken.status_code, broken.json()["error"][:34]) == (400, "The request body is not valid JSON")
    assert (form.status_code, "application/json" in form.json()["error"]) == (415, True)
    assert (deep.status_code, list(deep.json())) == (400, ["error"])


def test_a_body_beyond_the_limit_is_refused_before_it_is_read(queueing: Server) -> None:
    connection = http.client.HTTPConnection(
        "localhost", queueing.port, timeout=PATIENCE_S
    )  # httpx would insist on sending it
    connection.putrequest("POST", "/api/training/start")
    connection.putheader("Content-Type", "application/json")
    connection.putheader("Content-Length", str(2**40))
    connection.endheaders(b"{")

    reply = connection.getresponse()

    assert (reply.status, list(json.loads(reply.read()))) == (413, ["error"])
    connection.close()


def test_the_servers_own_names_are_answered(queueing: Server) -> None:
    for host in ("localhost", "127.0.0.1", f"localhost:{queueing.port}", "[::1]:5001"):
        assert queueing.get("/health", headers={"Host": host}).status_code == 200


@pytest.mark.parametrize("route", SPECIFIED)
def test_every_path_refuses_query_parameters_that_there_are_not(queueing: Server, route: str) -> None:
    method, path = route.replace("{", "").replace("}", "").split(" ")
    url = f"http://localhost:{queueing.port}{path}"

    reply = queueing.http.request(method, url, params={"colour": "red", "size": "1"})

    assert reply.status_code == 400
    assert _sentence(path, reply).startswith("unknown query parameter colour, size: there is ")


def test_query_parameters_that_there_are_not_are_refused_with_those_that_there_are(queueing: Server) -> None:
    reply = queueing.get("/training/logs/x", params={"line": 5})

    assert (reply.status_code, reply.json()) == (400, {"error": "unknown query parameter line: there is lines"})


@pytest.mark.parametrize("page", ["", "/", "/openapi.json", "/openapi.yaml", "/swagger", "/elements", "/nothing"])
def test_no_page_of_the_description_loads_anything_from_elsewhere(queueing: Server, page: str) -> None:
    reply = queueing.http.get(f"http://localhost:{queueing.port}/schema{page}")

    assert "http://" not in reply.text
    assert "https://" not in reply.text
    assert "<script" not in reply.text
    if page in {"", "/"}:
        assert all(f"<h2>{route}</h2>" in reply.text for route in SPECIFIED.keys() - DASHBOARD)
        assert "<td><code>train_texts</code></td>" in reply.text


def test_a_body_is_decoded_once() -> None:
    decodings = 0

    class Counted(Struct):
        texts: list[str]

        def __post_init__(self) -> None:
            nonlocal decodings
            decodings += 1

    @post("/", signature_namespace={"Counted": Counted}, sync_to_thread=False)
    def count(data: JSONBody[Counted]) -> int:
        return len(data.texts)

    with create_test_client(count, request_class=DeclaredRequest, before_request=check) as client:
        assert client.post("/", json={"texts": ["a"] * 1000}).json() == 1000
        assert decodings == 1
        assert client.post("/", json={"texts": ["a", 1]}).json()["detail"] == "texts[1] must be a string"
