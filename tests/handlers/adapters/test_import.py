import gzip
import http.client
import io
import json
import os
import shutil
import tarfile
import zipfile
from collections.abc import Callable
from pathlib import Path

import httpx
import pytest

from tests.server import PATIENCE_S, Server

CONFIG, WEIGHTS = "adapter_config.json", "adapter_model.safetensors"
FILES = (CONFIG, WEIGHTS, "README.md", "adapter.json")


def _send(server: Server, archive: bytes, name: str, kind: str = "application/zip") -> httpx.Response:
    return server.http.post(
        "/adapters/import", params={"adapter_name": name}, content=archive, headers={"Content-Type": kind}
    )


def _zip(files: dict[str, bytes]) -> bytes:
    target = io.BytesIO()
    with zipfile.ZipFile(target, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content in files.items():
            archive.writestr(name, content)
    return target.getvalue()


def _tar(*members: tuple[tarfile.TarInfo, bytes]) -> bytes:
    target = io.BytesIO()
    with tarfile.open(fileobj=target, mode="w") as archive:
        for member, content in members:
            member.size = len(content)
            archive.addfile(member, io.BytesIO(content))
    return target.getvalue()


def _content(trained: Path) -> dict[str, bytes]:
    return {name: (trained / name).read_bytes() for name in FILES}


@pytest.mark.parametrize("kind", ["zip", "gztar", "tar"])
def test_an_archive_is_sent_loaded_and_answers(training: Server, trained: Path, tmp_path: Path, kind: str) -> None:
    (tmp_path / "cache").mkdir()
    (tmp_path / "cache" / "README.md").write_text("not the adapter's")
    shutil.copytree(trained, tmp_path / "mine", ignore=shutil.ignore_patterns("*.lock"))
    (tmp_path / "mine" / "run_me.py").write_text("raise SystemExit")
    archive = Path(shutil.make_archive(str(tmp_path / "out" / "mine"), kind, tmp_path))
    media = {"zip": "application/zip", "gztar": "application/gzip", "tar": "application/x-tar"}[kind]

    reply = _send(training, archive.read_bytes(), f"sent-{kind}", media)
    loaded = training.post(f"/adapters/sent-{kind}/load")

    assert (reply.status_code, reply.json()) == (
        200,
        {
            "adapter_name": f"sent-{kind}",
            "model_name": "toy",
            "status": "imported",
            "message": f"Adapter sent-{kind} imported successfully",
        },
    )
    assert loaded.status_code == 200, loaded.text
    folder = training.root / "adapters" / f"sent-{kind}"
    assert {path.name for path in folder.iterdir()} == set(FILES)
    for name in FILES[:3]:
        assert (folder / name).read_bytes() == (trained / name).read_bytes()


def test_a_record_from_another_lathe_keeps_what_it_says_and_not_where_it_lay(training: Server, trained: Path) -> None:
    files = _content(trained)
    record = json.loads(files["adapter.json"])
    files["adapter.json"] = json.dumps(record | {"output_dir": "out", "tags": ["far"], "note": "theirs"}).encode()

    _send(training, _zip(files), "travelled")

    written = json.loads((training.root / "adapters" / "travelled" / "adapter.json").read_text())
    shown = training.get("/adapters/travelled").json()
    assert record["job_id"]
    assert written.keys().isdisjoint({"job_id", "output_dir"})
    assert (written["note"], shown["tags"], shown["description"]) == ("theirs", ["far"], "Made by a test")
    assert shown["metrics"]["training_steps"] == 6


def test_an_adapter_from_elsewhere_is_asked_with_the_template_that_lies_beside_it(
    training: Server, trained: Path
) -> None:
    """TRL and Unsloth save it there. A changed file counts from the next request on."""
    files = {name: content for name, content in _content(trained).items() if name != "adapter.json"}
    source = "{% for m in messages %}Q: {{ m.content }}\n{% endfor %}A:"
    _send(training, _zip(files | {"chat_template.jinja": source.encode()}), "trl")

    def prompt_tokens(path: str, **asked: object) -> int:
        body = {"model": "trl", "max_tokens": 1, **asked}
        usage = training.http.post(f"http://localhost:{training.port}/v1/{path}", json=body).json()["usage"]
        return int(usage["prompt_tokens"])

    asked = [{"role": "user", "content": "What is red?"}]
    first = prompt_tokens("chat/completions", messages=asked)
    (training.root / "adapters" / "trl" / "chat_template.jinja").write_text(f"Be brief and kind. {source}")
    second = prompt_tokens("chat/completions", messages=asked)

    assert first == prompt_tokens("completions", prompt="Q: What is red?\nA:")
    assert second == prompt_tokens("completions", prompt="Be brief and kind. Q: What is red?\nA:") > first


def test_a_folder_and_an_archive_in_the_data_root_are_imported_under_their_own_names(
    training: Server, trained: Path
) -> None:
    folder = training.root / "from-elsewhere"
    shutil.copytree(trained, folder, ignore=shutil.ignore_patterns("adapter.json", "*.lock"))
    shutil.make_archive(str(training.root / "packed"), "gztar", folder)

    first = training.post("/adapters/import", {"path": "./from-elsewhere", "description": "Came by folder"})
    second = training.post("/adapters/import", {"path": "packed.tar.gz"})
    again = training.post("/adapters/import", {"path": "packed.tar.gz"})
    renamed = training.post("/adapters/import", {"path": "packed.tar.gz", "adapter_name": "packed-2"})

    assert [first.json()["adapter_name"], second.json()["adapter_name"]] == ["from-elsewhere", "packed"]
    assert renamed.status_code == 200
    assert (again.status_code, again.json()["error"][:31]) == (400, "adapter_name 'packed' is taken:")
    assert training.get("/adapters/from-elsewhere").json()["description"] == "Came by folder"
    assert not (training.root / "adapters" / "packed" / "adapter.json").exists()
    assert (folder / WEIGHTS).exists()


def test_what_is_no_adapter_is_refused_in_words_and_nothing_appears(queueing: Server, trained: Path) -> None:
    """Of a server that trains nothing, whose jobs would make adapters meanwhile."""
    files = _content(trained)
    config, weights = files[CONFIG], files[WEIGHTS]
    link = tarfile.TarInfo(WEIGHTS)
    link.type, link.linkname = tarfile.SYMTYPE, "/etc/passwd"
    linked = _tar((tarfile.TarInfo(CONFIG), config), (link, b""))
    vera = json.dumps(json.loads(config) | {"peft_type": "VERA"}).encode()
    before = sorted(path.name for path in (queueing.root / "adapters").iterdir())
    refused = {
        "is missing; adapter_model.bin holds pickled weights": _zip({CONFIG: config, "adapter_model.bin": b"x"}),
        "adapter_model.safetensors: is cut short": _zip({CONFIG: config, WEIGHTS: weights[:-9]}),
        "peft_type is VERA": _zip({CONFIG: vera, WEIGHTS: weights}),
        "adapter_config.json: JSON is malformed": _zip({CONFIG: b"what", WEIGHTS: weights}),
        "which leads out of it": _zip({f"../adapters/evil/{CONFIG}": config} | files),
        "Several adapters, a, b": _zip({f"a/{CONFIG}": config, f"b/{CONFIG}": config}),
        "there is no adapter_config.json": _zip({f"one/two/{CONFIG}": config}),
        "adapter_model.safetensors is not a plain file": linked,
        "more than 32 times its size": _zip({CONFIG: config, WEIGHTS: bytes(40 * 2**20)}),
        "32 times its size, which": gzip.compress(_tar((tarfile.TarInfo("big"), bytes(40 * 2**20)))),
        "The archive cannot be read": b"no archive at all",
        "cannot be read (Compressed file ended": gzip.compress(weights)[:500],
    }

    for words, archive in refused.items():
        reply = _send(queueing, archive, "refused")

        assert reply.status_code == 400, words
        assert words in reply.json()["error"]
    assert _send(queueing, _zip(files), "import").json()["error"].startswith("adapter_name 'import' is reserved")
    assert sorted(path.name for path in (queueing.root / "adapters").iterdir()) == before


def test_paths_outside_the_root_and_bodies_of_other_kinds_are_refused(
    training: Server, copy_in: Callable[[str], Path], trained: Path
) -> None:
    (training.root / "way-out").symlink_to(trained)
    copy_in("not-to-be-replaced")

    outside = training.post("/adapters/import", {"path": str(trained)})
    linked = training.post("/adapters/import", {"path": "way-out"})
    absent = training.post("/adapters/import", {"path": "absent"})
    nameless = training.http.post("/adapters/import", content=b"x", headers={"Content-Type": "application/zip"})
    form = training.http.post("/adapters/import", data={"path": "x"})
    unknown = training.post("/adapters/import", {"path": "x", "force": True})

    for reply in (outside, linked):
        assert reply.status_code == 400
        assert "lies outside the data root: send the archive itself" in reply.json()["error"]
    assert absent.json() == {"error": "path 'absent' is neither a folder nor an archive"}
    assert nameless.json()["error"].startswith("adapter_name is required")
    assert (form.status_code, unknown.json()) == (415, {"error": "unknown field force"})


def test_an_archive_may_be_larger_than_other_bodies(
    start_server: Callable[..., Server], tmp_path: Path, trained: Path
) -> None:
    server = start_server("--slots", "0", "--max-body-mb", "1")
    large = _zip({**_content(trained), "unknown.bin": os.urandom(3 * 2**20)})

    reply = _send(server, large, "large")
    json_reply = server.post("/adapters/import", {"path": "x" * 2**21})

    assert reply.status_code == 200, reply.text
    assert (tmp_path / "adapters" / "large" / WEIGHTS).read_bytes() == (trained / WEIGHTS).read_bytes()
    assert (json_reply.status_code, json_reply.json()["error"][:38]) == (413, "The request body is larger than 1 MiB:")


def test_an_archive_that_the_disk_has_no_room_for_is_a_413_and_leaves_nothing(queueing: Server) -> None:
    """Not even if it were empty: what is free may be more a moment later."""
    before = sorted(queueing.root.iterdir())
    connection = http.client.HTTPConnection("localhost", queueing.port, timeout=PATIENCE_S)
    connection.putrequest("POST", "/api/adapters/import?adapter_name=huge")
    connection.putheader("Content-Type", "application/zip")
    connection.putheader("Content-Length", str(shutil.disk_usage(queueing.root).total))
    connection.endheaders(b"PK")

    reply = connection.getresponse()

    assert (reply.status, list(json.loads(reply.read()))) == (413, ["error"])
    assert sorted(queueing.root.iterdir()) == before
    connection.close()
