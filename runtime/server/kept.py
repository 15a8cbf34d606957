"""Entries of one kind held in memory by their ids, newest first, alone and in groups.

Safe to call from several threads; no lock is held while a file is read. Reading is made only where a look at the files'
times says that they changed.
"""

import threading
from collections.abc import Callable, Hashable, Iterable
from pathlib import Path
from typing import Generic, Protocol, TypeVar, cast

from msgspec import Struct, structs

from runtime.server.listing import Listing
from runtime.server.newest import Key, Newest


class Stamped(Protocol):
    """A frozen Struct."""

    @property
    def key(self) -> Key: ...

    @property
    def stamp(self) -> int: ...


Entry = TypeVar("Entry", bound=Stamped)


class Kept(Generic[Entry]):
    """What was last read of each folder in one folder."""

    def __init__(  # noqa: PLR0913, PLR0917  what differs from kind to kind
        self,
        parent: Path,
        ids: Callable[[], set[str]],
        read: Callable[[str, Entry | None], Entry | None],
        stamp: Callable[[Entry], int],
        groups: Callable[[Entry], Iterable[Hashable]] = lambda _: (),
        changed: Callable[[str, Entry | None, Entry | None], None] = lambda *_: None,
    ) -> None:
        """`read` is told what was known, and finds None where there is nothing; `stamp` is that of the files now.

        `changed` is called with the lock held, with what an entry said before and says now.
        """
        self._read = read
        self._stamp = stamp
        self._groups = groups
        self._changed = changed
        self._lock = threading.Lock()
        self._entries: dict[str, Entry] = {}
        self._all = Newest()
        self._grouped: dict[Hashable, Newest] = {}
        self._listed = Listing(parent, ids)

    def known(self, entry_id: str) -> Entry | None:
        """An entry as last read, where its files still are as they were."""
        entry = self._entries.get(entry_id)
        return entry if entry is not None and self._stamp(entry) == entry.stamp else None

    def refresh(self, entry_id: str) -> Entry | None:
        """An entry by its files as they are now. None where there is no such entry."""
        while True:
            known = self._entries.get(entry_id)
            if known is not None and self._stamp(known) == known.stamp:
                return known
            newest = self._read(entry_id, known)
            if self._keep(entry_id, known, newest):
                return newest

    def ids(self) -> set[str]:
        """The entries that are known, and whatever else in the folder may be one."""
        return self._listed.others(self._entries) | set(self._entries)

    def page(self, group: Hashable = None, after: Key | None = None, limit: int | None = None) -> list[Entry]:
        """Entries, the newest first: of one group, those that come after `after`, and not more than `limit`."""
        with self._lock:
            listed = self._all if group is None else self._grouped.get(group, Newest())
            return [self._entries[entry_id] for entry_id in listed.page(after, limit)]

    def of(self, groups: Iterable[Hashable]) -> list[Entry]:
        """The entries of several groups at one moment: who goes from one to another is neither missed nor met twice."""
        with self._lock:
            listed = [self._grouped[group] for group in groups if group in self._grouped]
            return [self._entries[entry_id] for group in listed for entry_id in group.page()]

    def count(self, group: Hashable = None) -> int:
        return len(self._all if group is None else self._grouped.get(group, ()))

    def those(self, ids: Iterable[str]) -> list[Entry]:
        """Those of these entries that there are, as last read."""
        with self._lock:
            return [self._entries[entry_id] for entry_id in ids if entry_id in self._entries]

    def _keep(self, entry_id: str, known: Entry | None, newest: Entry | None) -> bool:
        """Put a reading in the place of the one before; not if somebody else has read the entry meanwhile."""
        with self._lock:
            if self._entries.get(entry_id) is not known:
                return False
            if _says(known) != _says(newest):
                self._changed(entry_id, known, newest)
            if known is not None:
                self._all.remove(known.key)
                for group in self._groups(known):
                    self._grouped[group].remove(known.key)
                    if not len(self._grouped[group]):
                        del self._grouped[group]
            if newest is None:
                self._entries.pop(entry_id, None)
            else:
                self._entries[entry_id] = newest
                self._all.add(newest.key)
                for group in self._groups(newest):
                    self._grouped.setdefault(group, Newest()).add(newest.key)
            return True


def _says(entry: Stamped | None) -> object:
    """An entry whenever it was read: a file that was changed just now is read twice."""
    return None if entry is None else structs.replace(cast("Struct", entry), stamp=0)
