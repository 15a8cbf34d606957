"""Folders that are replaced while others read and replace them, also where two names cannot be exchanged."""

import threading
from pathlib import Path

import pytest

from state import exchange, folders
from state.folders import Taken


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
