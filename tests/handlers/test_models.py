"""GET /api/models: what can be trained, and what is wrong with what cannot."""

import shutil
from collections.abc import Callable
from pathlib import Path

from state.models import BUNDLED
from tests.server import Server


def test_models_lists_folders_and_aliases(training: Server) -> None:
    reply = training.get("/models").json()

    listed = {model["name"]: model for model in reply["models"]}
    assert reply["total"] == len(listed)
    assert listed["toy"]["kind"] == "folder"
    assert listed["toy"]["architecture"] == "LlamaForCausalLM"
    assert listed["toy"]["context_length"] == 256
    assert listed["tiny-python"]["downloaded"] is True
    assert listed["tiny-python"]["size_mb"] < 8
    assert listed["codellama-7b-instruct"]["kind"] == "alias"
    assert listed["codellama-7b-instruct"]["source"] == "codellama/CodeLlama-7b-Instruct-hf"
    assert listed["codellama-7b-instruct"]["downloaded"] is False
    families = ("codellama", "llama", "qwen", "mistral", "gemma", "phi", "smollm")
    assert all(any(name.startswith(family) for name in listed) for family in families)


def test_a_broken_model_is_its_own_problem_and_every_other_one_is_listed(
    start_server: Callable[..., Server], tmp_path: Path
) -> None:
    library = tmp_path / "models"
    shutil.copytree(BUNDLED / "tiny-python", library / "good")
    shutil.copytree(BUNDLED / "tiny-python", library / "sharded")
    (library / "sharded" / "model-00002-of-00002.safetensors").symlink_to("../../blobs/gone")
    (library / "folder" / "config.json").mkdir(parents=True)
    (library / "circle").symlink_to("circle")
    (library / "aliases.json").write_text("{oops")
    server = start_server("--slots", "0")

    reply = server.get("/models").json()
    compatible = server.get(f"http://localhost:{server.port}/v1/models").json()

    problems = {model["name"]: model["problem"] for model in reply["models"] if model["problem"] is not None}
    assert problems == {
        "sharded": "sharded/model-00002-of-00002.safetensors: is a link to a file that is not there",
        "folder": "folder/config.json: Is a directory",
        "circle": "circle/config.json: Too many levels of symbolic links",
    }
    assert reply["problem"].startswith("models/aliases.json: JSON is malformed")
    listed = {model["name"] for model in reply["models"]}
    assert {"good", "tiny-python"} <= listed
    assert {model["id"] for model in compatible["data"]} == {"good", "tiny-python"}  # those that can answer now
    for name, problem in problems.items():
        refused = server.post("/training/start", {"model_name": name, "train_texts": ["one two"]})
        assert (refused.status_code, refused.json()) == (400, {"error": problem})
