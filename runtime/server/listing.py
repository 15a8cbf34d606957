"""The names in a folder, listed again only when some of them may be others: 0.1 s for 100,000 of them."""

from collections.abc import Callable, Container
from pathlib import Path

from state import stamps


class Listing:
    """What is in one folder beside what is known to be in it."""

    def __init__(self, folder: Path, list_names: Callable[[], set[str]]) -> None:
        self._folder = folder
        self._list_names = list_names
        self._stamp = 0
        self._others: set[str] = set()

    def others(self, known: Container[str]) -> set[str]:
        """The names that are not known: folders that may become something by a file that is put into them."""
        stamp = stamps.of(str(self._folder), ["."])
        names = self._others if stamp == self._stamp else self._list_names()
        self._others = {name for name in names if name not in known}
        self._stamp = stamp
        return set(self._others)
