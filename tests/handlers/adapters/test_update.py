import json
import threading
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.server import Server


def test_an_adapter_is_described_and_tagged_and_keys_of_its_owner_stay(
    training: Server, copy_in: Callable[[str], Path]
) -> None:
    record = copy_in("tagged") / "adapter.json"
    record.write_text(json.dumps(json.loads(record.read_text()) | {"note": "my own key"}))

    reply = training.patch("/adapters/tagged", description="New words", tags=["python", "v2"])

    assert reply.status_code == 200
    assert (reply.json()["description"], reply.json()["tags"]) == ("New words", ["python", "v2"])
    assert reply.json() == training.get("/adapters/tagged").json()
    listed = training.get("/adapters").json()["adapters"]
    assert next(adapter["tags"] for adapter in listed if adapter["name"] == "tagged") == ["python", "v2"]
    written = json.loads(record.read_text())
    assert (written["note"], written["tags"], written["training_config"]["r"]) == ("my own key", ["python", "v2"], 4)


def test_an_adapter_from_elsewhere_gets_a_record_of_what_is_shown_for_it(
    training: Server, copy_in: Callable[[str], Path]
) -> None:
    folder = copy_in("recordless")
    (folder / "adapter.json").unlink()

    reply = training.patch("/adapters/recordless", description="Mine").json()

    written = json.loads((folder / "adapter.json").read_text())
    assert (reply["description"], reply["tags"], reply["training_config"]["r"]) == ("Mine", [], 4)
    assert {key: written[key] for key in ("model_name", "created_at", "training_config")} == {
        key: reply[key] for key in ("model_name", "created_at", "training_config")
    }


def test_a_loaded_adapter_answers_on_under_its_new_name(training: Server, copy_in: Callable[[str], Path]) -> None:
    folder = copy_in("before")
    training.post("/adapters/before/load")
    question = {"prompt": "### Instruction:\n", "max_new_tokens": 8}
    answer = training.post("/generate", question).json()
    running: list[int] = []
    asking = threading.Thread(
        target=lambda: running.append(training.post("/generate", question | {"max_new_tokens": 200}).status_code)
    )
    asking.start()

    reply = training.patch("/adapters/before", name="after", description="Renamed")

    asking.join()
    assert running == [200]
    assert (reply.status_code, reply.json()["name"], reply.json()["is_loaded"]) == (200, "after", True)
    assert reply.json()["path"] == "./adapters/after"
    assert training.get("/adapters/before").status_code == 404
    assert not folder.exists()
    assert training.post("/generate", question).json() == answer | {"adapter_name": "after"}


@pytest.mark.parametrize(
    ("changes", "error"),
    [
        ({}, "Nothing to change: give name, description or tags"),
        ({"name": "other"}, "name 'other' is taken: choose another, or delete that adapter first"),
        ({"name": "unload"}, "name 'unload' is reserved: it is a word of the API's URLs"),
        ({"name": "../up", "tags": ["x"]}, "name '../up' is not a valid name"),
        ({"nmae": "x"}, "unknown field nmae"),
        ({"tags": "x"}, "tags must be a list"),
    ],
)
def test_what_cannot_be_changed_is_refused_and_nothing_is(
    training: Server, copy_in: Callable[[str], Path], changes: dict[str, object], error: str
) -> None:
    for name in ("kept", "other"):
        if training.get(f"/adapters/{name}").status_code == 404:
            copy_in(name)
    before = training.get("/adapters/kept").json()

    reply = training.patch("/adapters/kept", **changes)

    assert (reply.status_code, reply.json()["error"][: len(error)]) == (400, error)
    assert training.get("/adapters/kept").json() == before


def test_a_broken_record_is_reported_and_left_as_it_is(training: Server, copy_in: Callable[[str], Path]) -> None:
    record = copy_in("broken-record") / "adapter.json"
    record.write_text('{"model_name": 7}')

    reply = training.patch("/adapters/broken-record", description="x")

    assert reply.status_code == 400
    assert "broken-record/adapter.json" in reply.json()["error"]
    assert record.read_text() == '{"model_name": 7}'
