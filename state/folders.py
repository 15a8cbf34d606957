"""Folders that are complete or absent: they appear in one rename, and go in one.

What a killed process leaves behind has a hidden name and is in no list; `sweep` clears it away.
"""

import errno
import os
import shutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from state import exchange, store
from state.errors import ServiceError

_OCCUPIED = (errno.EEXIST, errno.ENOTEMPTY, errno.ENOTDIR)


class Taken(ServiceError):
    """There is something of that name already."""

    def __init__(self, target: Path) -> None:
        super().__init__(f"{target.parent.name}/{target.name} exists already")


@contextmanager
def appearing(target: Path, by: str = "", *, replacing: bool = False) -> Iterator[Path]:
    """Give a hidden folder to fill; when the block ends, flush it to the disk and rename it to `target`.

    An error leaves nothing new. `by` tells apart those who may want the same target at once. Raises Taken when
    `target` exists by then, unless `replacing`: then the two change places, and the old one is removed.
    """
    hidden = _hidden(target, by)
    _discard(hidden)
    hidden.mkdir()
    try:
        yield hidden
        for path in (*hidden.rglob("*"), hidden):
            if not path.is_symlink():  # one that leads nowhere cannot be opened
                store.flush(path)
        if replacing:
            _replace(hidden, target)
        else:
            _rename_new(hidden, target)
    except BaseException:
        _discard(hidden)
        raise
    store.flush(target.parent)
    if replacing:
        _discard(hidden)  # by now the old one


def names_in(parent: Path) -> list[str]:
    """Whatever is in a folder; nothing where that was removed by hand. One listing: 0.1 s for 100,000 names."""
    try:
        return os.listdir(parent)  # noqa: PTH208  names alone
    except FileNotFoundError:
        return []


def check_free(target: Path) -> None:
    """Raise Taken when there is something of that name, be it a link that leads nowhere."""
    if os.path.lexists(target):
        raise Taken(target)


def rename(folder: Path, target: Path) -> None:
    """Give a folder another name, durably. Raises Taken when there is something of that name."""
    _rename_new(folder, target)
    store.flush(target.parent)


def vanish(folder: Path) -> None:
    """Remove a folder: gone in one rename, then its bytes."""
    leaving = folder.with_name(f".{folder.name}.removed")
    _discard(leaving)
    folder.rename(leaving)
    store.flush(folder.parent)
    _discard(leaving)


def copy_by_links(source: Path, target: Path, except_for: Callable[[str], bool] = lambda _: False) -> None:
    """Give the files of a folder second names in another one: hard links where the file system has them, else copies.

    What `target` has already stays as it is; files directly in the folder whose name is `except_for` are left out.
    """

    def ignored(folder: str, names: list[str]) -> set[str]:
        return set(filter(except_for, names)) if Path(folder) == source else set()

    shutil.copytree(source, target, copy_function=_link_or_copy, ignore=ignored, dirs_exist_ok=True)


def has(folder: Path, name: str) -> bool:
    """Whether there is such a file. One that may not be looked at is one: reading it tells what is wrong."""
    try:
        os.stat(f"{folder}/{name}")  # noqa: PTH116  a listing asks this of 100,000 folders
    except (FileNotFoundError, NotADirectoryError):
        return False
    except OSError:
        return True
    return True


def sweep(parent: Path, by: str | None = None) -> None:
    """Clear away what was half made or half removed; where `by` is given, of the half made only what that one made.

    Only while nobody makes such folders in there; who removes one is not disturbed. What was to be replaced, and was
    not, is there again. It costs one listing: 0.1 s for 100,000 folders.
    """
    if not parent.is_dir():
        return
    endings = (f".{by}.new" if by else ".new", ".removed", ".replaced")
    for name in names_in(parent):
        if name.startswith(".") and name.endswith(endings):
            target = parent / name.removeprefix(".").removesuffix(".replaced")
            if name.endswith(".replaced") and not os.path.lexists(target):
                (parent / name).rename(target)
            else:
                _discard(parent / name)


def is_any_half_made(parent: Path) -> bool:
    """Whether a folder is being made in there, or was when its maker was killed."""
    return any(parent.glob(".*.new"))


def abandon(target: Path, by: str = "") -> None:
    """Clear away what a process that was killed had begun of `target`. Only while nobody else is at it."""
    aside = _aside(target)
    if aside.exists() and not target.exists():
        aside.rename(target)
    _discard(_hidden(target, by))
    _discard(aside)


def _hidden(target: Path, by: str) -> Path:
    return target.with_name(f".{target.name}{by and f'.{by}'}.new")


def _aside(target: Path) -> Path:
    """What `target` is called while another folder takes its name, where two names cannot be exchanged."""
    return target.with_name(f".{target.name}.replaced")


def _rename_new(folder: Path, target: Path) -> None:
    check_free(target)  # an empty folder would be replaced
    _rename(folder, target)


def _rename(folder: Path, target: Path) -> None:
    """Raises Taken where there is a folder that is not empty."""
    try:
        folder.rename(target)
    except OSError as error:
        if error.errno in _OCCUPIED:
            raise Taken(target) from error
        raise


def _replace(hidden: Path, target: Path) -> None:
    """Have the two change places, or `target` appear; whoever else does the same meanwhile comes before or after."""
    while True:
        try:
            if not os.path.lexists(target):
                _rename_new(hidden, target)
            elif not exchange.names(hidden, target):
                _rename_aside(hidden, target)
        except (Taken, FileNotFoundError):  # it appeared, or went, between the question and the rename
            if not hidden.exists():
                raise
        else:
            return


def _rename_aside(hidden: Path, target: Path) -> None:
    """For file systems that cannot exchange two names: for an instant there is neither.

    A kill in that instant leaves the old folder to `sweep`, which puts it back.
    """
    aside = _aside(target)
    _discard(aside)
    _rename(target, aside)  # somebody else may be at the same
    try:
        _rename_new(hidden, target)
    except BaseException:
        if not os.path.lexists(target):
            aside.rename(target)
        raise
    with suppress(FileNotFoundError):  # whoever replaced the new one in turn has removed it
        aside.rename(hidden)


def _discard(path: Path) -> None:
    """Remove a folder or a link as far as it can be; a link's own target stays."""
    if path.is_symlink():
        path.unlink(missing_ok=True)
    else:
        shutil.rmtree(path, ignore_errors=True)


def _link_or_copy(source: str, target: str) -> None:
    if os.path.lexists(target):
        return
    try:
        os.link(source, target)
    except OSError:
        shutil.copy2(source, target)
