"""Keeping the index and the loaded adapter in step with the folders.

At the start every folder is read, behind the first answers. From then on file events bring over what changes where
changes are expected: in `training_jobs/`, `adapters/` and `evaluations/` themselves, and in folders that are not at
rest, which are those of unfinished jobs and what came or changed within the last minute. A folder at rest has no watch.
A sweep looks at everything once a minute, at an even pace that costs a hundredth of a core, and finds what was edited
there and what the kernel dropped. Who asks for one entry waits for neither: `Index.job` looks at its files.
"""

import asyncio
import logging
import time
from collections.abc import AsyncGenerator, Callable, Collection, Coroutine, Iterable, Iterator
from contextlib import aclosing, suppress
from itertools import islice
from pathlib import Path
from typing import Any

from watchfiles import Change, awatch

from runtime.server.answering.serving import Serving
from runtime.server.index import Index
from state import names, stamps
from state.errors import ServiceError
from state.jobs import PREFIX
from state.root import DataRoot

DEBOUNCE_MS = 200  # longest wait while events keep coming
STEP_MS = 25  # quiet time that ends a batch of events
REWATCH_S = 0.25  # how soon a folder that is not at rest has a watch
QUIET_S = 5.0  # how long nobody looks whether a folder is not at rest, unless something changes
RESTLESS_S = 60.0  # what came or changed may change again: a copy of large files takes a while
POLL_S = 0.5  # where events are not to be had
UNTIL_NEXT_TRY_S = 30.0
LOADED_S = 2.0
READ_TOGETHER = 100  # entries, 10 ms of work, between two looks at whether the server is to end
SWEEP_S = 58.0  # a hand edit of what is at rest is found within a minute
SHORTEST_SWEEP_S = 2.0
FEWEST_SWEPT_PER_S = 500  # entries, at 5 to 9 us each, nearly all of them the kernel's two stats
SLICE_S = 2.0  # longer slices cost less: with 100,000 jobs 0.019 cores, 0.021 with slices of a quarter of a second
LONGEST_PAUSE_S = 60.0
WATCHED_EVALUATION_FILES = frozenset({"evaluation.json", "status.json", "results.json"})
WATCHED_JOB_FILES = frozenset({"job.json", "status.json", "stop", "pause"})

log = logging.getLogger(__name__)


async def keep_up(what: str, work: Callable[[], Coroutine[Any, Any, None]]) -> None:
    """Do something for ever: when it fails, say why and begin again, after pauses that grow to a minute."""
    pause_s = 0.5
    while True:
        began = time.monotonic()
        try:
            await work()
        except Exception:
            lasted = time.monotonic() - began > LONGEST_PAUSE_S
            pause_s = 0.5 if lasted else min(2 * pause_s, LONGEST_PAUSE_S)
            log.exception("%s failed, and begins again in %g s", what, pause_s)
        await asyncio.sleep(pause_s)


class Watch:
    """Has the index read again what changes in the folders of one data root, and calls `changed` then."""

    def __init__(self, root: DataRoot, index: Index, changed: Callable[[], None]) -> None:
        self._parents = (root.training_jobs, root.adapters, root.evaluations)
        self._index = index
        self._changed = changed
        self._restless: dict[Path, float] = {}  # a folder, and until when
        self._has_complained = False
        self._stirred = asyncio.Event()
        self.jobs_are_read = asyncio.Event()
        self.all_is_read = asyncio.Event()

    async def read_and_sweep(self) -> None:
        """Read every folder as fast as it goes; then look at each again and again, slowly."""
        if not self.all_is_read.is_set():
            await self._read_all()
        while True:
            began = time.monotonic()
            swept_per_s = max(FEWEST_SWEPT_PER_S, self._index.count() / SWEEP_S)
            await self._look_at_all(int(swept_per_s * SLICE_S), SLICE_S)
            await asyncio.sleep(max(0.0, SHORTEST_SWEEP_S - (time.monotonic() - began)))

    async def _read_all(self) -> None:
        index = self._index
        for part in _parts(await asyncio.to_thread(index.job_ids), READ_TOGETHER):
            await asyncio.to_thread(_each, index.refresh_job, part)
        index.jobs_are_read = True
        self.jobs_are_read.set()
        for part in _parts(await asyncio.to_thread(index.adapter_names), READ_TOGETHER):
            await asyncio.to_thread(_each, index.refresh_adapter, part)
        index.adapters_are_read = True
        for part in _parts(await asyncio.to_thread(index.evaluation_ids), READ_TOGETHER):
            await asyncio.to_thread(_each, index.refresh_evaluation, part)
        index.evaluations_are_read = True
        self.all_is_read.set()

    async def _look_at_all(self, together: int, slice_s: float) -> None:
        """Look at so many entries together; `slice_s` is from one such look to the next, after fewer of them less."""
        index = self._index
        due = time.monotonic()
        kinds: tuple[tuple[Callable[[], set[str]], Callable[[str], object]], ...] = (
            (index.job_ids, index.refresh_job),
            (index.adapter_names, index.refresh_adapter),
            (index.evaluation_ids, index.refresh_evaluation),
        )
        for listed, refresh in kinds:
            for part in _parts(await asyncio.to_thread(listed), together):
                before = index.revisions.newest
                await asyncio.to_thread(_each, refresh, part)
                if index.revisions.newest != before:
                    self._stirred.set()
                    self._changed()
                due += slice_s * len(part) / together
                await asyncio.sleep(max(0.0, due - time.monotonic()))

    async def follow_parents(self) -> None:
        """See what comes to `training_jobs/`, `adapters/` and `evaluations/`, and what goes."""
        try:
            async with aclosing(_events(self._parents, self._matters, UNTIL_NEXT_TRY_S)) as batches:
                async for paths in batches:
                    await self._noticed(paths)
        except (OSError, RuntimeError) as error:
            self._complain(error)
            await self._poll_parents()

    async def follow_restless(self) -> None:
        """See what changes in the folders that are not at rest. The watches follow the set of these folders."""
        watched: set[Path] = set()
        while True:
            self._stirred.clear()
            folders = self._not_at_rest()
            new, watched = folders - watched, folders
            await self._refresh(new)
            if not folders:
                with suppress(TimeoutError):
                    async with asyncio.timeout(QUIET_S):
                        await self._stirred.wait()
                continue
            try:
                await self._follow(folders)
            except FileNotFoundError:
                await self._refresh(folders)  # one of them is gone
            except (OSError, RuntimeError) as error:
                self._complain(error)
                await self._poll(folders)

    async def _follow(self, folders: set[Path]) -> None:
        """Until the set of folders is another one."""
        unseen = folders
        async with aclosing(_events(folders, self._matters, REWATCH_S)) as batches:
            async for paths in batches:
                await self._noticed(paths)
                await self._refresh(unseen)  # what changed while these watches, or those before them, were not there
                unseen = set()
                if self._not_at_rest() != folders:
                    return

    def _not_at_rest(self) -> set[Path]:
        now = time.monotonic()
        self._restless = {folder: until for folder, until in self._restless.items() if until > now and folder.is_dir()}
        return self._restless.keys() | {Path(entry.path) for entry in self._index.unfinished()}

    def _folder_of(self, path: Path) -> Path | None:
        """The job's, adapter's or evaluation's folder that a path is or lies in; None for what can be none."""
        for parent in self._parents:
            if parent in path.parents:
                name = path.relative_to(parent).parts[0]
                return parent / name if names.is_valid(name) else None
        return None

    def _matters(self, _: Change, changed: str) -> bool:
        """Whether a change of this path can change the index."""
        path = Path(changed)
        folder = self._folder_of(path)
        if folder is None or path == folder:
            return folder is not None
        if folder.parent == self._parents[0]:
            return path.name in WATCHED_JOB_FILES
        if folder.parent == self._parents[2]:
            return path.name in WATCHED_EVALUATION_FILES
        return not path.name.startswith(".") and path.suffix != ".lock"

    async def _noticed(self, paths: Collection[Path]) -> None:
        """Something changed at these paths."""
        folders = {folder for path in paths if (folder := self._folder_of(path)) is not None}
        self._restless |= dict.fromkeys(folders, time.monotonic() + RESTLESS_S)
        self._stirred.set()
        await self._refresh(folders)

    async def _refresh(self, folders: Collection[Path]) -> None:
        """Read these folders again, as far as they changed. Adapters first: who sees a job completed finds its own."""
        if not folders:
            return
        of_jobs, of_adapters, of_evaluations = self._parents
        adapter_names = [folder.name for folder in folders if folder.parent == of_adapters]
        job_ids = [folder.name.removeprefix(PREFIX) for folder in folders if folder.parent == of_jobs]
        await asyncio.to_thread(_each, self._index.refresh_adapter, adapter_names)
        await asyncio.to_thread(_each, self._index.refresh_job, job_ids)
        evaluation_ids = [folder.name for folder in folders if folder.parent == of_evaluations]
        await asyncio.to_thread(_each, self._index.refresh_evaluation, evaluation_ids)
        self._changed()

    async def _poll(self, folders: set[Path]) -> None:
        """Stand in for events in folders that are not at rest, until it is time to try again."""
        for _ in range(int(UNTIL_NEXT_TRY_S / POLL_S)):
            await asyncio.sleep(POLL_S)
            await self._refresh(folders | self._not_at_rest())

    async def _poll_parents(self) -> None:
        before = 0
        for _ in range(int(UNTIL_NEXT_TRY_S / POLL_S)):
            now = stamps.of(str(self._parents[0].parent), [parent.name for parent in self._parents])
            if now != before:
                await self._look_at_all(READ_TOGETHER, 0.0)
            before = now
            await asyncio.sleep(POLL_S)

    def _complain(self, error: Exception) -> None:
        """Say once that events are not to be had."""
        if not self._has_complained:
            self._has_complained = True
            log.warning("File events are not to be had (%s): folders are looked at every %g s instead", error, POLL_S)


async def follow_loaded(serving: Serving) -> None:
    """Compare the loaded adapter with its files again and again."""
    while True:
        try:
            await serving.follow_files()
        except ServiceError as error:
            log.warning("%s", error)
        await asyncio.sleep(LOADED_S)


async def _events(
    folders: Collection[Path], matters: Callable[[Change, str], bool], silence_s: float
) -> AsyncGenerator[set[Path]]:
    """The paths that changed directly in these folders, in batches; an empty one after so long a silence."""
    async for events in awatch(
        *folders,
        watch_filter=matters,
        debounce=DEBOUNCE_MS,
        step=STEP_MS,
        rust_timeout=int(1000 * silence_s),
        yield_on_timeout=True,
        recursive=False,
        ignore_permission_denied=True,
    ):
        yield {Path(path) for _, path in events}


def _each(refresh: Callable[[str], object], ids: Iterable[str]) -> None:
    """One that fails for a reason that nobody foresaw is one, and not all."""
    for one in ids:
        try:
            refresh(one)
        except Exception:
            log.exception("%s could not be read", one)


def _parts(ids: Iterable[str], size: int) -> Iterator[list[str]]:
    left = iter(ids)
    while part := list(islice(left, size)):
        yield part
