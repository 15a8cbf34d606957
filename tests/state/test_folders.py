"""Folders that are replaced while others read and replace them, also where two names cannot be exchanged."""

import threading
from pathlib import Path

import pytest

from state import exchange, exports, folders
from state.errors import ServiceError
from state.folders import Taken
from state.root import DataRoot


@pytest.fixture
def can_exchange(tmp_path: Path) -> None:
    (tmp_path / "one").mkdir()
    (tmp_path / "other").mkdir()
    if not exchange.names(tmp_path / "one", tmp_path / "other"):
        pytest.skip("this system cannot exchange two names: for an instant there is neither")


def _replace(target: Path, content: str, by: str = "") -> None:
    with folders.appearing(target, by=by, replacing=True) as hidden:
        (hidden / "first").write_text(content)
        (hidden / "second").write_text(content)


def _hidden(parent: Path) -> list[Path]:
    return [path for path in parent.iterdir() if path.name.startswith(".")]


@pytest.mark.parametrize("exchanges", [True, False])
def test_many_who_replace_one_folder_at_once_all_succeed_and_one_of_them_is_there(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    exchanges: bool,  # noqa: FBT001
) -> None:
    if not exchanges:
        monkeypatch.setattr(exchange, "names", lambda *_: False)
    target = tmp_path / "folder"
    failed: list[Exception] = []

    def replace(number: int) -> None:
        try:
            for _ in range(20):
                _replace(target, f"{number}", by=f"{number}")
        except Exception as error:  # noqa: BLE001  asserted on below
            failed.append(error)

    threads = [threading.Thread(target=replace, args=(number,)) for number in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert failed == []
    assert (target / "first").read_text() == (target / "second").read_text()
    assert _hidden(tmp_path) == []


@pytest.mark.usefixtures("can_exchange")
def test_a_folder_that_is_replaced_is_there_at_every_moment(tmp_path: Path) -> None:
    target = tmp_path / "folder"
    _replace(target, "0")
    done = threading.Event()
    absent = []

    def look() -> None:
        while not done.is_set():
            if not target.exists():
                absent.append(True)

    looking = threading.Thread(target=look)
    looking.start()
    for number in range(200):
        _replace(target, f"{number}")
    done.set()
    looking.join()

    assert absent == []


def test_what_cannot_be_replaced_stays(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    target = tmp_path / "folder"
    _replace(target, "old")

    def refuse(*_: Path) -> bool:
        raise PermissionError

    monkeypatch.setattr(exchange, "names", refuse)
    with pytest.raises(PermissionError):
        _replace(target, "new")

    assert (target / "first").read_text() == "old"
    assert _hidden(tmp_path) == []


def test_without_an_exchange_the_old_folder_is_put_back_when_the_new_one_cannot_take_its_name(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    target = tmp_path / "folder"
    _replace(target, "old")
    monkeypatch.setattr(exchange, "names", lambda *_: False)

    def refuse(*_: Path) -> None:
        raise PermissionError

    monkeypatch.setattr(folders, "_rename_new", refuse)
    with pytest.raises(PermissionError):
        _replace(target, "new")

    assert (target / "first").read_text() == "old"
    assert _hidden(tmp_path) == []


def test_a_name_that_is_taken_meanwhile_is_refused_in_words_and_nothing_is_left(tmp_path: Path) -> None:
    target = tmp_path / "parent" / "folder"
    target.parent.mkdir()

    with pytest.raises(Taken, match="parent/folder exists already"), folders.appearing(target):
        target.mkdir()

    assert _hidden(target.parent) == []


def test_a_sweep_leaves_what_others_make_and_what_is_the_users(tmp_path: Path) -> None:
    for name in (".mine.new", ".mine.import.new", ".mine.job.new", ".gone.removed", ".hidden-of-the-user", "kept"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "file").write_text(name)
    for name in (".lost.replaced", ".kept.replaced"):
        (tmp_path / name).mkdir()

    folders.sweep(tmp_path, by="import")

    left = {path.name for path in tmp_path.iterdir()}
    assert left == {".mine.new", ".mine.job.new", ".hidden-of-the-user", "kept", "lost"}
    assert (tmp_path / "kept" / "file").exists()


def test_of_exports_only_what_an_export_left_is_swept(tmp_path: Path) -> None:
    root = DataRoot.at(tmp_path)
    users = (".mine.removed", ".mine.new", ".mine.replaced", "mine-gguf")
    for name in (*users, ".mine-merged.export.new", ".lost-gguf.replaced", ".mine-gguf.replaced"):
        (root.exports / name).mkdir(parents=True)
        (root.exports / name / "file").write_text(name)
    for name in ("lost-gguf", "mine-gguf"):
        exports.write_record(root.exports / f".{name}.replaced", name.removesuffix("-gguf"), "toy", "gguf")

    exports.sweep(root)

    assert {path.name for path in root.exports.iterdir()} == {*users, "lost-gguf"}
    assert (root.exports / "lost-gguf" / "file").exists()
    assert (root.exports / "mine-gguf" / "file").read_text() == "mine-gguf"


def test_links_in_a_circle_lead_nowhere(tmp_path: Path) -> None:
    root = DataRoot.at(tmp_path)
    (tmp_path / "circle").symlink_to("circle")

    assert not root.holds_entry(tmp_path / "circle")
    assert root.inside("circle/below") is None
    with pytest.raises(ServiceError, match="'circle' lies outside the data root"):
        root.output_folder("circle")
    assert root.inside("nothing-yet") == tmp_path / "nothing-yet"
