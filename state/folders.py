"""Folders that are complete or absent: they appear in one rename, and go in one.

What a killed process leaves behind has a hidden name and is in no list; `sweep` clears it away.
"""

import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from state import store


@contextmanager
def appearing(target: Path, by: str = "", *, replacing: bool = False) -> Iterator[Path]:
    """Give a hidden folder to fill; when the block ends, flush it to the disk and rename it to `target`.

    An error leaves nothing new. `by` tells apart those who may want the same target at once. Raises OSError where the
    parent is missing, or `target` is a folder with something in it: unless `replacing`, which removes that one when
    the new one is complete and on the disk.
    """
    hidden = _hidden(target, by)
    shutil.rmtree(hidden, ignore_errors=True)
    hidden.mkdir()
    try:
        yield hidden
        for path in (*hidden.rglob("*"), hidden):
            store.flush(path)
        leaving = _aside(target) if replacing and target.exists() else None
        hidden.rename(target)
    except BaseException:
        shutil.rmtree(hidden, ignore_errors=True)
        raise
    store.flush(target.parent)
    if leaving is not None:
        shutil.rmtree(leaving, ignore_errors=True)


def vanish(folder: Path) -> None:
    """Remove a folder: gone in one rename, then its bytes."""
    leaving = _aside(folder)
    store.flush(folder.parent)
    shutil.rmtree(leaving, ignore_errors=True)


def _aside(folder: Path) -> Path:
    """Give a folder a hidden name, for a removal."""
    leaving = folder.with_name(f".{folder.name}.removed")
    shutil.rmtree(leaving, ignore_errors=True)
    return folder.rename(leaving)


def sweep(parent: Path, by: str | None = None) -> None:
    """Clear away what was half made or half removed, where `by` is given only what that one half made.

    Only while nobody makes or removes such folders in there.
    """
    for pattern in (f".*.{by}.new",) if by else (".*.new", ".*.removed"):
        for leftover in parent.glob(pattern):
            shutil.rmtree(leftover, ignore_errors=True)


def abandon(target: Path, by: str = "") -> None:
    """Clear away what a process that was killed had begun of `target`. Only while nobody else is at it."""
    aside = target.with_name(f".{target.name}.removed")
    if aside.exists() and not target.exists():
        aside.rename(target)
    shutil.rmtree(_hidden(target, by), ignore_errors=True)
    shutil.rmtree(aside, ignore_errors=True)


def _hidden(target: Path, by: str) -> Path:
    return target.with_name(f".{target.name}{by and f'.{by}'}.new")
