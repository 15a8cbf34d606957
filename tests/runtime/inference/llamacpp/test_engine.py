"""`--engine llama.cpp`, asked over HTTP: with a stand-in for llama-server, and with a real one where there is one."""

import json
import os
import shutil
import signal
import sys
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path
from typing import Any

import httpx
import numpy as np
import pytest
from safetensors.numpy import save_file

import server as lathe
from runtime.inference.llamacpp import conversion
from runtime.inference.llamacpp.conversion import Conversions
from runtime.messages.export import Order
from runtime.messages.inference import AdapterFiles
from runtime.server.answering.engines import PROGRAM, VARIABLE
from state import models
from state.root import DataRoot
from tests.llama_server import SLOW
from tests.processes import is_alive, on_linux
from tests.server import CHECKOUT, MODEL, PATIENCE_S, Server, wait_until

CHAT = [{"role": "user", "content": "Add two numbers"}]


class Standin:
    """llama-server's stand-in, and what it wrote down."""

    def __init__(self, folder: Path) -> None:
        self.log = folder / "llama.jsonl"
        self.program = folder / "llama-server"
        source = CHECKOUT / "tests" / "llama_server.py"
        self.program.write_text(f'#!/bin/sh\nexec {sys.executable} -S -E {source} {self.log} "$@"\n')
        self.program.chmod(0o755)

    def lines(self, kind: str) -> list[dict[str, Any]]:
        if not self.log.exists():
            return []
        whole, _, _ = self.log.read_text().rpartition("\n")  # the last line may be in the writing
        return [line for line in map(json.loads, whole.splitlines()) if kind in line]

    @property
    def pid(self) -> int:
        return int(self.lines("began")[-1]["began"])


def make_adapter(root: Path, name: str) -> Path:
    """Of rank 2 on one layer of the bundled model."""
    folder = root / "adapters" / name
    folder.mkdir(parents=True)
    config = {"peft_type": "LORA", "task_type": "CAUSAL_LM", "base_model_name_or_path": MODEL, "r": 2, "lora_alpha": 4}
    config |= {"target_modules": ["q_proj"], "layers_to_transform": [0]}
    (folder / "adapter_config.json").write_text(json.dumps(config))
    random, layer = np.random.default_rng(0), "base_model.model.model.layers.0.self_attn.q_proj"
    sides = {"A": random.normal(scale=0.1, size=(2, 256)), "B": random.normal(scale=0.1, size=(256, 2))}
    matrices = {f"{layer}.lora_{side}.weight": value.astype(np.float32) for side, value in sides.items()}
    save_file(matrices, folder / "adapter_model.safetensors")
    (folder / "adapter.json").write_text(json.dumps({"model_name": MODEL, "created_at": "2026-01-01T00:00:00Z"}))
    return folder


def complete(server: Server, **asked: Any) -> dict[str, Any]:
    return dict(server.http.post(f"http://localhost:{server.port}/v1/completions", json=asked).json())


def streamed(server: Server, **asked: Any) -> Iterator[dict[str, Any]]:
    url = f"http://localhost:{server.port}/v1/completions"
    with httpx.stream("POST", url, json={"stream": True, **asked}, timeout=PATIENCE_S) as reply:
        for line in reply.iter_lines():
            if line.startswith("data: {"):
                yield json.loads(line.removeprefix("data: "))


def text_of(events: list[dict[str, Any]]) -> str:
    return "".join(event["choices"][0]["text"] for event in events)


def convert_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """Conversions in this process, which make nothing of a file but its place."""

    def ask(order: Order) -> None:
        Path(order.target).mkdir()
        (Path(order.target) / ("model.gguf" if order.adapter is None else "adapter.gguf")).write_bytes(b"GGUF")

    monkeypatch.setattr(conversion, "_ask", ask)


def made(ask: Callable[[], Path | None]) -> Path:
    """A conversion, once it is there."""
    wait_until(lambda: ask() is not None, "it is converted")
    file = ask()
    assert file is not None
    return file


def test_what_has_changed_is_converted_anew_and_what_is_as_it_was_is_not(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    convert_at_once(monkeypatch)
    model = shutil.copytree(CHECKOUT / "models" / MODEL, tmp_path / "models" / MODEL)
    adapter = make_adapter(tmp_path, "mine")
    conversions = Conversions(tmp_path / "bases")
    base = made(lambda: conversions.base(str(model)))
    first = made(lambda: conversions.adapter(str(model), AdapterFiles(str(adapter), "1")))

    copied = shutil.copytree(adapter, tmp_path / "adapters" / "copy")
    assert made(lambda: Conversions(tmp_path / "bases").adapter(str(model), AdapterFiles(str(copied), "2"))) == first

    (adapter / "adapter_model.safetensors").write_bytes(b"other weights")
    assert made(lambda: conversions.adapter(str(model), AdapterFiles(str(adapter), "3"))) != first
    os.utime(model / "model.safetensors", (1, 1))
    assert made(lambda: conversions.base(str(model))) != base
    assert not base.exists()
    (base.parent.with_name(".base-half.export.new")).mkdir()
    Conversions(tmp_path / "bases")
    assert {folder.name.partition("-")[0] for folder in base.parent.parent.iterdir()} == {"base", "adapter"}


@on_linux
def test_llama_server_answers_under_the_same_names_and_is_replaced_for_an_adapter_and_after_its_death(
    start_server: Callable[..., Server], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    convert_at_once(monkeypatch)
    root = DataRoot.at(tmp_path)
    source = models.find(root, MODEL).load_from
    made(partial(Conversions(root.quantized_bases).base, source))  # an export's process less: each takes seconds
    standin = Standin(tmp_path)
    make_adapter(tmp_path, "mine")
    environment = {VARIABLE: str(standin.program), "LATHE_API_KEY": ""}
    server = start_server("--slots", "0", "--engine", "llama.cpp", environment=environment)
    v1 = f"http://localhost:{server.port}/v1"

    # The bare base, asked in Lathe's own rendering of its chat template.
    said = server.http.post(
        f"{v1}/chat/completions",
        json={"model": MODEL, "messages": CHAT, "stop": ["; st"], "logprobs": True, "seed": 3, "max_tokens": 9},
    ).json()
    assert said["choices"][0]["message"]["content"] == "adapter none"
    assert said["choices"][0]["finish_reason"] == "stop"
    assert [token["logprob"] for token in said["choices"][0]["logprobs"]["content"]] == [-0.5] * 3
    [asked] = [line["asked"] for line in standin.lines("asked")]
    rendered = server.http.post(f"http://localhost:{server.port}/tokenize", json={"model": MODEL, "messages": CHAT})
    assert asked["prompt"] == rendered.json()["tokens"]
    assert (asked["seed"], asked["n_predict"], asked["lora"]) == (3, 9, [])

    # An adapter: another llama-server, once the answer that is being written is complete.
    running = streamed(server, model=MODEL, prompt="def f(", max_tokens=SLOW)
    begun = [next(running)]
    with ThreadPoolExecutor(1) as pool:
        adapted = pool.submit(complete, server, model="mine", prompt="def f(", max_tokens=5)
        wait_until(lambda: bool(list(tmp_path.glob(".cache/bases/*/adapter-*"))), "the adapter is converted")
        standin.log.with_suffix(".go").touch()
        assert text_of([*begun, *running]) == "adapter none; stop here"
        assert adapted.result()["choices"][0]["text"] == "adapter 0; stop here"
    assert standin.lines("asked")[-1]["asked"]["lora"] == [{"id": 0, "scale": 1.0}]
    assert complete(server, model=MODEL, prompt="x")["choices"][0]["text"] == "adapter none; stop here"
    assert standin.lines("asked")[-1]["asked"]["lora"] == [{"id": 0, "scale": 0.0}]
    assert len(standin.lines("began")) == 2

    # What it cannot do.
    tools = {"messages": CHAT, "tools": [{"type": "function", "function": {"name": "add"}}]}
    schema = {"messages": CHAT, "response_format": {"type": "json_object"}}
    for kind, refused, word in (
        ("completions", {"prompt": "x", "presence_penalty": 1}, "presence_penalty"),
        ("completions", {"prompt": "x", "echo": True, "logprobs": 1}, "echo"),
        ("chat/completions", schema, "schema"),
        ("chat/completions", tools, "tools"),
    ):
        error = server.http.post(f"{v1}/{kind}", json={"model": MODEL, **refused}).json()["error"]["message"]
        assert word in error
        assert "--engine embedded" in error

    # Its death.
    standin.log.with_suffix(".go").unlink()
    running = streamed(server, model="mine", prompt="def f(", max_tokens=SLOW)
    next(running)
    kept = {file: file.stat().st_ino for file in tmp_path.glob(".cache/bases/*/*/*.gguf")}
    os.kill(standin.pid, signal.SIGKILL)
    *_, last = running
    assert "llama-server died" in last["error"]["message"]
    assert "SIGKILL" in last["error"]["message"]
    assert complete(server, model="mine", prompt="x")["choices"][0]["text"] == "adapter 0; stop here"
    assert {file: file.stat().st_ino for file in tmp_path.glob(".cache/bases/*/*/*.gguf")} == kept

    # Its server's end, by which it is gone at once, whatever that end is.
    [worker] = server.children()
    os.kill(worker, signal.SIGKILL)
    wait_until(lambda: not is_alive(standin.pid), "llama-server is gone")


def test_a_server_without_a_llama_server_does_not_start_and_says_what_it_lacks(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv(VARIABLE, str(tmp_path / "none"))

    assert lathe.main(["--root", str(tmp_path), "--engine", "llama.cpp"]) == 1

    assert f"{VARIABLE} names {tmp_path / 'none'}" in capsys.readouterr().err


def test_a_real_llama_server_writes_nearly_what_the_embedded_engine_writes(
    start_server: Callable[..., Server], tmp_path: Path
) -> None:
    program = os.environ.get(VARIABLE) or shutil.which(PROGRAM)
    if program is None:
        pytest.skip(f"there is no llama.cpp: install it, or set {VARIABLE} to its llama-server")
    asked = {"prompt": "def add(a, b):\n    return", "max_tokens": 1, "logprobs": 3, "temperature": 0}
    roots = {engine: tmp_path / engine for engine in ("embedded", "llama.cpp")}
    likely: dict[tuple[str, str], dict[str, float]] = {}
    for engine, root in roots.items():
        make_adapter(root, "mine")
        environment = {VARIABLE: program, "LATHE_API_KEY": ""}
        server = start_server("--slots", "0", "--engine", engine, root=root, environment=environment)
        for model in (MODEL, "mine"):
            said = complete(server, model=model, **asked)
            assert "choices" in said, said
            [likely[engine, model]] = said["choices"][0]["logprobs"]["top_logprobs"]
        server.close()

    for model in (MODEL, "mine"):
        ours, theirs = likely["embedded", model], likely["llama.cpp", model]
        both = ours.keys() & theirs.keys()
        assert len(both) >= 2
        assert [theirs[token] for token in both] == pytest.approx([ours[token] for token in both], abs=0.5)
    assert likely["llama.cpp", MODEL] != likely["llama.cpp", "mine"]
