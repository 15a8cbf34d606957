"""Keeping the index and the loaded adapter in step with the folders.

File events bring a change over in a fraction of a second. A slow rescan catches what the kernel dropped, and stands
in alone where watching is not to be had.
"""

import asyncio
import logging
from collections.abc import Callable
from pathlib import Path

from watchfiles import Change, awatch

from runtime.server.answering.serving import Serving
from runtime.server.index import Index
from state.errors import ServiceError
from state.jobs import PREFIX
from state.root import DataRoot

RESCAN_S = 2.0
DEBOUNCE_MS = 200  # longest wait while events keep coming
STEP_MS = 40  # quiet time that ends a batch of events
WATCHED_JOB_FILES = frozenset({"job.json", "status.json", "stop"})

log = logging.getLogger(__name__)


async def follow_events(root: DataRoot, index: Index, changed: Callable[[], None]) -> None:
    """Refresh what file events name, and call `changed` after each batch. Ends only where watching fails."""
    try:
        async for events in awatch(
            root.training_jobs,
            root.adapters,
            watch_filter=lambda _, path: _matters(root, Path(path)),
            debounce=DEBOUNCE_MS,
            step=STEP_MS,
        ):
            await asyncio.to_thread(_refresh, root, index, events)
            changed()
    except (OSError, RuntimeError) as error:
        log.warning("File events are not to be had (%s): the folders are read every %s s instead", error, RESCAN_S)


async def rescan_forever(index: Index, serving: Serving, changed: Callable[[], None]) -> None:
    """Compare the folders with the index again and again, and the loaded adapter with its files."""
    while True:
        try:
            await asyncio.to_thread(index.rescan)
            await serving.follow_files()
        except ServiceError as error:
            log.warning("%s", error)
        except Exception:
            log.exception("A rescan of the folders failed")
        changed()
        await asyncio.sleep(RESCAN_S)


def _matters(root: DataRoot, path: Path) -> bool:
    """Whether a change of this path can change the index: a folder of its own, or a record in one."""
    for parent in (root.training_jobs, root.adapters):
        if path.is_relative_to(parent):
            inside = path.relative_to(parent).parts
            if not inside or inside[0].startswith("."):
                return False
            if len(inside) == 1:
                return True
            is_temporary = inside[-1].startswith(".") or inside[-1].endswith(".lock")
            return not is_temporary and (parent == root.adapters or inside[1] in WATCHED_JOB_FILES)
    return False


def _refresh(root: DataRoot, index: Index, events: set[tuple[Change, str]]) -> None:
    job_ids, adapter_names = set(), set()
    for _, name in events:
        path = Path(name)
        if path.is_relative_to(root.adapters):
            adapter_names.add(path.relative_to(root.adapters).parts[0])
        else:
            job_ids.add(path.relative_to(root.training_jobs).parts[0].removeprefix(PREFIX))
    for adapter_name in adapter_names:  # before the jobs: who sees one completed finds its adapter
        index.refresh_adapter(adapter_name)
    for job_id in job_ids:
        index.refresh_job(job_id)
