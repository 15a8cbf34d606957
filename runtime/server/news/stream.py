"""One reader's news, each made when it is asked for, from what is true then.

There is no queue: a reader who is slow, or does not read at all, costs a set of positions, and hears of a thousand
changes of a job as of one.
"""

import asyncio
import time
from collections.abc import AsyncGenerator, Iterator, Sequence
from contextlib import aclosing, suppress

from msgspec import Struct

from runtime.server.index import Index
from runtime.server.news.cursor import Cursor, FileKind
from runtime.server.news.lookout import Lookout, Vitals
from runtime.server.revisions import Kind
from state import logs, metrics, stamps
from state.errors import BrokenFile, NotFound
from state.growing import BEGINNING, Position
from state.jobs import JobFolder

ROUND_S = 0.25  # between two looks at whether there is anything new
BEAT_S = 10.0  # of silence
MOST_CHANGED = 200  # of one kind, told by name; of more the reader hears that all may be other

Files = dict[tuple[FileKind, str], Position | None]


class Changed(Struct, frozen=True):
    """Entries that came, changed or went. `names` is None where all may be others than the reader knows."""

    kind: Kind
    names: set[str] | None


class Points(Struct, frozen=True):
    job_id: str
    reset: bool
    points: Sequence[metrics.Point]


class Text(Struct, frozen=True):
    job_id: str
    reset: bool
    text: str


class Beat(Struct, frozen=True):
    """A sign of life."""


class News(Struct, frozen=True):
    """`cursor` is how far its reader has got with it; None where it makes no difference."""

    told: Changed | Points | Text | Vitals | Beat
    cursor: Cursor | None = None


class Stream:
    """What one reader follows, and how far they have got."""

    def __init__(
        self, index: Index, lookout: Lookout, files: Sequence[tuple[FileKind, str]], cursor: Cursor | None
    ) -> None:
        """`files` are followed, from where the cursor says, or as if they had never been read."""
        self._index = index
        self._lookout = lookout
        self._boot = index.revisions.boot
        self._revision = cursor.revision if cursor is not None and cursor.boot == self._boot else None
        self._files: Files = {file: cursor.files.get(file) if cursor else None for file in files}
        self._stamps: dict[tuple[FileKind, str], int] = {}
        self._vitals: Vitals | None = None

    async def news(self, ending: asyncio.Event) -> AsyncGenerator[News]:
        """Until the server ends, or nobody asks any more."""
        self._lookout.streams += 1
        last_s = time.monotonic()
        try:
            while not ending.is_set():
                has_more = False
                await self._lookout.look()
                async with aclosing(self._round()) as found:
                    async for one in found:
                        yield one
                        has_more |= isinstance(one.told, Points | Text)
                        last_s = time.monotonic()
                if time.monotonic() - last_s >= BEAT_S:
                    yield News(Beat())
                    last_s = time.monotonic()
                if not has_more:
                    with suppress(TimeoutError):
                        async with asyncio.timeout(ROUND_S):
                            await ending.wait()
        finally:
            self._lookout.streams -= 1

    async def _round(self) -> AsyncGenerator[News]:
        """What is new now; of a long file a part, so that nothing else waits for all of it."""
        for one in self._changes():
            yield one
        for file in self._files:
            told = await self._grown(file)
            if told is not None:
                yield News(told, self._cursor())
        vitals = self._lookout.vitals()
        if vitals != self._vitals:
            self._vitals = vitals
            yield News(vitals)

    def _changes(self) -> Iterator[News]:
        """Only the last has the new revision in its cursor: a reader who misses it hears all of them again."""
        revisions = self._index.revisions
        newest = revisions.newest
        if newest == self._revision:
            return
        changes = revisions.since(self._revision) if self._revision is not None else None
        if changes is None:
            told = [Changed("jobs", None), Changed("adapters", None), Changed("data", None)]
        else:
            told = [
                Changed(kind, names if len(names) <= MOST_CHANGED else None) for kind, names in changes.items() if names
            ]
        for one in told[:-1]:
            yield News(one)
        self._revision = newest
        for one in told[-1:]:
            yield News(one, self._cursor())

    async def _grown(self, file: tuple[FileKind, str]) -> Points | Text | None:
        """What came to a file, or its beginning where it is not what the reader knows."""
        kind, job_id = file
        try:
            folder = (await self._index.job_now(job_id)).folder
            followed = folder.metrics_file if kind == "c" else folder.log_file
            stamp = stamps.of(str(folder.path), [followed.name])
            if stamp == self._stamps.get(file):
                return None
            told, end = await asyncio.to_thread(_read_on, kind, folder, self._files[file])
        except (NotFound, BrokenFile):  # of one that cannot be read, who asks for it alone is told why
            return self._without_file(file)
        if told is None:
            self._stamps[file] = stamp
            return None
        self._files[file] = end
        return told

    def _without_file(self, file: tuple[FileKind, str]) -> Points | Text | None:
        if self._files[file] == BEGINNING:
            return None
        self._files[file] = BEGINNING
        kind, job_id = file
        return Points(job_id, reset=True, points=[]) if kind == "c" else Text(job_id, reset=True, text="")

    def _cursor(self) -> Cursor:
        files = {file: position for file, position in self._files.items() if position is not None}
        return Cursor(self._boot, self._revision or 0, files)


def _read_on(kind: FileKind, folder: JobFolder, position: Position | None) -> tuple[Points | Text | None, Position]:
    if kind == "c":
        curve = metrics.read_on(folder.metrics_file, position)
        has_news = curve.is_anew or curve.end != position
        return Points(folder.job_id, curve.is_anew, curve.points) if has_news else None, curve.end
    log = logs.read_on(folder.log_file, position)
    return Text(folder.job_id, log.is_anew, log.text) if log.is_anew or log.text else None, log.end
