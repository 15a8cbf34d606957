"""The HTTP interface does what its own description says, for whatever schemathesis thinks of."""

import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

from tests.server import PATIENCE_S, Server

MANY = 5  # examples of an operation that schemathesis makes at random, besides those at the limits of each parameter
SETTINGS = """
[[operations]]  # each answer takes a process of its own: some of what is there, and no more
include-path-regex = "/(report|preview)$"
parameters = { dataset_name = "greetings", model_name = "tiny-python" }
phases.coverage.enabled = false
generation.max-examples = 2

[[operations]]  # renamed and deleted
include-path = "/api/training/data/{dataset_name}"
parameters = { dataset_name = "farewells" }
"""
LEFT_OUT = (
    "positive_data_acceptance",  # a list of texts may be well-formed and still name an unknown data set
    "allow_header_conformance",  # litestar 2.25 answers OPTIONS by one of a path's handlers only
)


def test_schemathesis_finds_nothing(start_server: Callable[..., Server], tmp_path: Path) -> None:
    """Of a server of its own: it reads lists, and asks for what it found there, which others' tests have left."""
    server = start_server("--slots", "0", root=tmp_path / "root")
    for name in ("greetings", "farewells"):
        server.post("/training/data/upload", {"dataset_name": name, "train_texts": ["hi", "bye"]})
    server.start(dataset_name="greetings", train_texts=None)
    (tmp_path / "schemathesis.toml").write_text(SETTINGS)
    program = str(Path(sys.executable).with_name("schemathesis"))
    command = [
        program,
        "run",
        f"http://localhost:{server.port}/schema/openapi.json",
        f"--max-examples={MANY}",
        "--phases=coverage,fuzzing",
        "--exclude-path=/api/events",  # never ends
        f"--exclude-checks={','.join(LEFT_OUT)}",
        f"--request-timeout={PATIENCE_S}",  # the first question of a tokenizer starts a worker
        "--suppress-health-check=too_slow",  # of how long it takes to make examples
        "--seed=5001",
    ]

    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=False)

    assert done.returncode == 0, done.stdout[-6000:]


def test_every_operation_describes_its_refusals(queueing: Server) -> None:
    description = queueing.http.get(f"http://localhost:{queueing.port}/schema/openapi.json").json()

    for path in description["paths"].values():
        for operation in path.values():
            schema = operation["responses"]["default"]["content"]["application/json"]["schema"]
            schema = description["components"]["schemas"][schema["$ref"].rsplit("/", 1)[-1]]
            assert schema["required"] == ["error"]
            assert set(operation["responses"]) == {"200", "default"}


def test_an_answer_that_a_handler_encodes_itself_is_described_by_its_fields(queueing: Server) -> None:
    description = queueing.http.get(f"http://localhost:{queueing.port}/schema/openapi.json").json()

    jobs = description["paths"]["/api/training/jobs"]["get"]["responses"]["200"]["content"]["application/json"]

    assert jobs["schema"]["$ref"].endswith("/JobsReply")
