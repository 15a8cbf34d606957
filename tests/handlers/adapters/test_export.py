import json
import os
import shutil
import signal
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from state import exports
from tests.processes import on_linux
from tests.server import Client, Server, wait_until


def test_a_merged_model_takes_the_last_exports_place_and_is_a_base_in_models(
    training: Server, copy_in: Callable[[str], Path]
) -> None:
    copy_in("leaving")
    last = training.root / "exports" / "leaving-merged"
    last.mkdir(parents=True)
    exports.write_record(last, "leaving", "toy", "merged")
    (last / "of-the-last.safetensors").touch()

    reply = training.post("/adapters/leaving/export", {"format": "merged"})
    shutil.copytree(last, training.root / "models" / "merged-toy")
    answer = training.post("/generate", {"prompt": "x", "model_name": "merged-toy", "max_new_tokens": 4})

    files = ["README.md", "chat_template.jinja", "config.json", "export.json", "generation_config.json"]
    assert reply.status_code == 200, reply.text
    assert reply.json() == {
        "adapter_name": "leaving",
        "format": "merged",
        "path": "./exports/leaving-merged",
        "files": [*files, "model.safetensors", "tokenizer.json", "tokenizer_config.json"],
        "size_mb": round(sum(file.stat().st_size for file in last.iterdir()) / 1e6, 3),
        "status": "exported",
        "message": "Adapter leaving exported successfully",
    }
    assert json.loads((last / "export.json").read_text())["model_name"] == "toy"
    assert answer.status_code == 200, answer.text
    assert str(training.root) not in (last / "README.md").read_text() + (last / "config.json").read_text()


def test_llama_cpps_files_appear_where_output_dir_says(training: Server, copy_in: Callable[[str], Path]) -> None:
    copy_in("small")

    reply = training.post("/adapters/small/export", {"format": "gguf-lora", "output_dir": "./for-llama"})

    folder = training.root / "for-llama" / "small-gguf-lora"
    assert reply.json()["path"] == "./for-llama/small-gguf-lora"
    assert reply.json()["files"] == ["Modelfile", "adapter.gguf", "chat_template.jinja", "export.json"]
    assert (folder / "adapter.gguf").read_bytes()[:4] == b"GGUF"


def test_what_cannot_be_exported_is_refused_in_words(training: Server, copy_in: Callable[[str], Path]) -> None:
    copy_in("staying")
    orphan = copy_in("without-base") / "adapter.json"
    orphan.write_text(json.dumps(json.loads(orphan.read_text()) | {"model_name": "gone-model"}))
    misfit = copy_in("of-another-base") / "adapter.json"
    misfit.write_text(json.dumps(json.loads(misfit.read_text()) | {"model_name": "tiny-python"}))
    mine = training.root / "exports" / "staying-gguf"
    mine.mkdir(parents=True)

    def error(name: str, **body: object) -> str:
        reply = training.post(f"/adapters/{name}/export", body)
        assert reply.status_code == 400, reply.text
        return str(reply.json()["error"])

    wait_until(lambda: training.get("/adapters/of-another-base").json()["model_name"] == "tiny-python", "it is read")
    assert training.post("/adapters/nobody/export", {"format": "gguf"}).status_code == 404
    assert error("staying") == "format is required"
    assert error("staying", format="onnx") == 'format must not be \'onnx\': use "merged", "gguf" or "gguf-lora"'
    assert error("staying", format="gguf", quantize="q4") == "unknown field quantize"
    assert "lies outside the data root" in error("staying", format="gguf", output_dir="../elsewhere")
    assert "./exports/staying-gguf exists and is no such export" in error("staying", format="gguf")
    assert error("without-base", format="gguf") == "Model gone-model not available"
    assert "does not fit the base model" in error("of-another-base", format="gguf")
    assert not list(mine.iterdir())
    assert not (training.root / "exports" / "of-another-base-gguf").exists()


@pytest.fixture
def begin_export(training: Server, toy: Path, copy_in: Callable[[str], Path]) -> Iterator[Callable[[str], Client]]:
    """Have an adapter's export begun that never ends: its base's weights are a pipe that nobody writes to."""
    base = shutil.copytree(toy, training.root / "models" / "weightless")
    (base / "model.safetensors").unlink()
    os.mkfifo(base / "model.safetensors")

    def begin(name: str) -> Client:
        record = copy_in(name) / "adapter.json"
        record.write_text(json.dumps(json.loads(record.read_text()) | {"model_name": "weightless"}))
        asking = Client(training, f"/adapters/{name}/export", {"format": "merged"})
        wait_until(lambda: bool(training.asked("runtime.export")), "the export has begun")
        return asking

    yield begin
    shutil.rmtree(base)


@on_linux
def test_a_client_that_goes_away_stops_its_export(training: Server, begin_export: Callable[[str], Client]) -> None:
    half = training.root / "exports" / ".hurried-merged.export.new"
    half.mkdir(parents=True)
    asking = begin_export("hurried")

    asking.go_away()

    wait_until(lambda: not training.asked("runtime.export"), "the export has ended")
    wait_until(lambda: not half.exists(), "what it had begun is cleared away")
    assert not list((training.root / "exports").glob("*hurried*"))


@on_linux
def test_an_export_that_is_killed_leaves_nothing_and_says_so(
    training: Server, begin_export: Callable[[str], Client]
) -> None:
    half = training.root / "exports" / ".killed-merged.export.new"
    half.mkdir(parents=True)
    asking = begin_export("killed")

    os.kill(training.asked("runtime.export")[0], signal.SIGKILL)

    status, error = asking.answer()
    assert status == 500
    assert error.startswith("The process that exports died. It was ended by signal 9 (SIGKILL")
    assert "next request" not in error
    assert not half.exists()
