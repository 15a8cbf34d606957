import json
import shutil
from collections.abc import Callable
from pathlib import Path

from tests.server import Server, wait_until


def _current(server: Server) -> str | None:
    current: str | None = server.get("/adapters").json()["current_adapter"]
    return current


def test_a_loaded_adapter_answers_until_it_is_unloaded(training: Server, copy_in: Callable[[str], Path]) -> None:
    copy_in("answering")

    loaded = training.post("/adapters/answering/load")
    answer = training.post("/generate", {"prompt": "### Instruction:\n", "max_new_tokens": 4}).json()
    base = training.post("/generate", {"prompt": "### Instruction:\n", "max_new_tokens": 4, "model_name": "toy"}).json()

    assert (loaded.status_code, loaded.json()) == (
        200,
        {"adapter_name": "answering", "status": "loaded", "message": "Adapter answering loaded successfully"},
    )
    assert _current(training) == "answering"
    assert training.get("/adapters/answering").json()["is_loaded"] is True
    assert (answer["adapter_name"], answer["model_name"]) == ("answering", "toy")
    assert (base["adapter_name"], base["model_name"]) == (None, "toy")

    unloaded = training.post("/adapters/unload")
    assert (unloaded.status_code, unloaded.json()) == (
        200,
        {"adapter_name": "answering", "status": "unloaded", "message": "Adapter answering unloaded successfully"},
    )
    again = training.post("/adapters/unload")
    assert (again.status_code, again.json()) == (400, {"error": "No adapter currently loaded"})
    assert training.post("/generate", {"prompt": "x"}).status_code == 400


def test_an_adapter_that_cannot_be_loaded_leaves_the_one_before(
    training: Server, copy_in: Callable[[str], Path]
) -> None:
    copy_in("good")
    weights = copy_in("cut") / "adapter_model.safetensors"
    weights.write_bytes(weights.read_bytes()[:-10])
    training.post("/adapters/good/load")

    reply = training.post("/adapters/cut/load")

    assert reply.status_code == 400
    assert "cut/adapter_model.safetensors: is cut short" in reply.json()["error"]
    assert _current(training) == "good"


def test_an_adapter_whose_base_is_not_here_says_which(training: Server, copy_in: Callable[[str], Path]) -> None:
    record = copy_in("orphan") / "adapter.json"
    record.write_text(json.dumps(json.loads(record.read_text()) | {"model_name": "gone-model"}))

    reply = training.post("/adapters/orphan/load")

    assert (reply.status_code, reply.json()) == (400, {"error": "Model gone-model not available"})


def test_an_adapter_whose_folder_goes_is_unloaded(training: Server, copy_in: Callable[[str], Path]) -> None:
    folder = copy_in("going")
    training.post("/adapters/going/load")

    shutil.rmtree(folder)

    wait_until(lambda: _current(training) is None, "the adapter is unloaded")
    assert training.get("/adapters/going").status_code == 404
