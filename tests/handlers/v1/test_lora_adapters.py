"""POST /v1/load_lora_adapter and /v1/unload_lora_adapter as vLLM's clients use them."""

import shutil
from pathlib import Path

import httpx
import pytest
from safetensors.torch import load_file, save_file

from tests.server import Server


def _post(server: Server, path: str, **body: object) -> httpx.Response:
    return server.http.post(f"http://localhost:{server.port}/v1/{path}", json=body)


def _ask(server: Server, model: str) -> str:
    reply = _post(server, "completions", model=model, prompt="def f(", temperature=0, max_tokens=8)
    assert reply.status_code == 200, reply.text
    return str(reply.json()["choices"][0]["text"])


@pytest.fixture
def elsewhere(serving: Server, trained: Path) -> Path:
    """An adapter's folder of the data root that is not in adapters/."""
    folder = serving.root / "runs" / "step-5"
    if not folder.exists():
        shutil.copytree(trained, folder)
    return folder


def test_an_adapter_of_another_folder_answers_by_the_name_that_it_is_given(serving: Server, elsewhere: Path) -> None:
    loaded = _post(serving, "load_lora_adapter", lora_name="policy", lora_path=str(elsewhere))
    answer = _ask(serving, "policy")
    unloaded = _post(serving, "unload_lora_adapter", lora_name="policy")
    again = _post(serving, "load_lora_adapter", lora_name="policy", lora_path="runs/step-5", load_inplace=False)

    assert (loaded.status_code, loaded.text) == (200, "Success: LoRA adapter 'policy' added successfully.")
    assert loaded.headers["Content-Type"].startswith("text/plain")
    assert answer == _ask(serving, "trained")
    assert (unloaded.status_code, unloaded.text) == (200, "Success: LoRA adapter 'policy' removed successfully.")
    assert again.status_code == 200
    own = _post(serving, "load_lora_adapter", lora_name="policy", lora_path="adapters/policy")
    assert own.status_code == 200
    assert serving.get("/adapters").json()["current_adapter"] is None
    serving.delete("/adapters/policy")


def test_an_adapter_that_answers_without_a_name_does_not_after_it_is_unloaded(serving: Server) -> None:
    serving.post("/adapters/trained/load")

    _post(serving, "unload_lora_adapter", lora_name="trained")

    reply = _post(serving, "completions", prompt="x")
    assert (reply.status_code, "No adapter currently loaded" in reply.text) == (400, True)
    assert _ask(serving, "trained")


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"lora_path": "/etc"}, "lora_path '/etc' is no path in the data root"),
        ({"lora_path": ""}, "is no path in the data root"),
        ({"lora_path": "nowhere"}, "neither a folder nor an archive"),
        ({"lora_name": "a/b"}, "lora_name 'a/b' is not a valid name"),
        ({"lora_name": "trained"}, "lora_name 'trained' is taken by another adapter"),
        ({"load_inplace": True}, "load_inplace must not be True"),
        ({"lora_path": "runs/changed"}, "holds NaN or infinity"),
    ],
)
def test_what_cannot_be_loaded_is_refused_and_nothing_appears(
    serving: Server, elsewhere: Path, fields: dict[str, object], message: str
) -> None:
    changed = serving.root / "runs" / "changed"
    if not changed.exists():
        shutil.copytree(elsewhere, changed)
        tensors = load_file(changed / "adapter_model.safetensors")
        next(iter(tensors.values())).fill_(float("nan"))
        save_file(tensors, changed / "adapter_model.safetensors")
    asked = {"lora_name": "new", "lora_path": "runs/changed"} | fields
    before = {path.name for path in (serving.root / "adapters").iterdir()}

    reply = _post(serving, "load_lora_adapter", **asked)

    assert reply.status_code == 400
    assert message in reply.json()["error"]["message"]
    assert {path.name for path in (serving.root / "adapters").iterdir()} == before
