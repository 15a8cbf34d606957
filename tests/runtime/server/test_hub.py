"""Models from the hub, which is a stand-in here: asked for headers at the start, downloaded by the trainer."""

import inspect
import json
import shutil
import threading
from collections.abc import Callable
from pathlib import Path

import pytest

from runtime.server import hub as server_hub
from tests import hub
from tests.server import PATIENCE_S, Server

START = {"train_texts": ["one two", "three"], "training_config": {"max_steps": 1}}


def test_a_hub_model_is_checked_by_its_headers_and_downloaded_by_the_trainer(
    start_server: Callable[..., Server], tmp_path: Path, toy: Path
) -> None:
    (tmp_path / "models").mkdir()
    (tmp_path / "models" / "aliases.json").write_text(json.dumps({"short": "someone/toy-model"}))
    with hub.serve({"someone/toy-model": toy}) as endpoint:
        server = start_server(environment={"HF_ENDPOINT": endpoint, "HF_HUB_OFFLINE": "0"})
        refused = server.post(
            "/training/start", START | {"model_name": "short", "lora_config": {"target_modules": ["c_attn"]}}
        )
        nothing = server.post("/training/start", START | {"model_name": "someone/nothing"})
        job_id = server.start(**START, model_name="short", adapter_name="from-hub")
        server.wait_for(job_id, "completed")
        loaded = server.post("/adapters/from-hub/load")
        shutil.rmtree(server.root / "hf-home")  # an export needs the base's own files, and fetches them again
        exported = server.post("/adapters/from-hub/export", {"format": "merged"})

    assert refused.json()["error"].startswith("lora_config.target_modules names c_attn, which short does not have")
    assert nothing.json() == {"error": "Model someone/nothing not available"}
    assert loaded.status_code == 200, loaded.text
    assert exported.status_code == 200, exported.text
    assert {"model.safetensors", "config.json", "tokenizer.json"} <= set(exported.json()["files"])
    listed = {model["name"]: model for model in server.get("/models").json()["models"]}
    assert listed["short"]["downloaded"] is True
    assert listed["someone/toy-model"]["kind"] == "hub"


def test_without_a_hub_the_answer_is_no(start_server: Callable[..., Server]) -> None:
    """As offline: tests/handlers/training/test_start.py."""
    server = start_server("--slots", "0", environment={"HF_HUB_OFFLINE": "0", "HF_ENDPOINT": "http://127.0.0.1:9"})

    reply = server.post("/training/start", START | {"model_name": "codellama-7b-instruct"})

    assert (reply.status_code, reply.json()) == (400, {"error": "Model codellama-7b-instruct not available"})


@pytest.mark.parametrize("stalls_at", ["/api/models/someone/toy", "/someone/toy/resolve/"])
def test_a_hub_that_stalls_at_any_request_is_given_up(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, stalls_at: str
) -> None:
    """By the time that each request is given: the library's own times would be without end here."""
    from huggingface_hub import HfApi, constants  # noqa: PLC0415  half a second of imports

    defaults = inspect.unwrap(HfApi.parse_safetensors_file_metadata).__kwdefaults__
    monkeypatch.setitem(defaults, "timeout", None)
    found: list[object] = []
    (tmp_path / "model.safetensors").write_bytes(b"never read")
    monkeypatch.delenv("HF_HUB_OFFLINE", raising=False)
    monkeypatch.delenv("TRANSFORMERS_OFFLINE", raising=False)
    monkeypatch.setattr(server_hub, "TIMEOUT_S", 0.2)
    with hub.serve({"someone/toy": tmp_path}, stalls_at=stalls_at) as endpoint:
        monkeypatch.setattr(constants, "ENDPOINT", endpoint)
        files = f"{endpoint}/{{repo_id}}/resolve/{{revision}}/{{filename}}"
        monkeypatch.setattr(constants, "HUGGINGFACE_CO_URL_TEMPLATE", files)

        asking = threading.Thread(target=lambda: found.append(server_hub.tensors("someone/toy")))
        asking.start()
        asking.join(timeout=PATIENCE_S)

        assert found == [None]
