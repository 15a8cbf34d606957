"""How much memory this process may still take, in bytes: of the machine, and of the control groups that it is in.

A control group is what a container's `--memory` and systemd's `MemoryMax` limit. The page cache is no reason to be
short of memory: the kernel drops it when a process asks for more.
"""

import sys
from pathlib import Path

import psutil
from msgspec import Struct

CGROUPS = Path("/sys/fs/cgroup")


class _Files(Struct, frozen=True):
    """What one version of control groups calls its files, and the page cache's two parts in memory.stat."""

    limit: str
    taken: str
    cache: tuple[str, str]


V1 = _Files("memory.limit_in_bytes", "memory.usage_in_bytes", ("total_inactive_file", "total_active_file"))
V2 = _Files("memory.max", "memory.current", ("inactive_file", "active_file"))


def free() -> int:
    return min(psutil.virtual_memory().available, free_in_cgroups())


def free_in_cgroups(proc: Path = Path("/proc/self/cgroup"), cgroups: Path = CGROUPS) -> int:
    """What this process's control group, and each group around it, may still take; sys.maxsize where none is limited.

    In a container the group's own folder may be the root one; under systemd's MemoryMax it is deeper.
    """
    try:
        lines = proc.read_text().splitlines()
    except OSError:
        return sys.maxsize  # not Linux
    found = [sys.maxsize]
    for line in lines:
        _, controllers, own = line.split(":", 2)
        if not controllers:
            found.append(_free_within(cgroups, own, V2))
        elif "memory" in controllers.split(","):
            found.append(_free_within(cgroups / "memory", own, V1))
    return min(found)


def _free_within(root: Path, own: str, files: _Files) -> int:
    folder = root / own.lstrip("/")
    return min(_free_in(group, files) for group in (folder, *folder.parents) if group.is_relative_to(root))


def _free_in(group: Path, files: _Files) -> int:
    try:
        limit, taken = ((group / name).read_text().strip() for name in (files.limit, files.taken))
        if not limit.isdecimal():
            return sys.maxsize  # "max"
        statistics = dict(line.split() for line in (group / "memory.stat").read_text().splitlines())
    except OSError:
        return sys.maxsize  # the root group has no limit, and a container may not see the groups around its own
    return int(limit) - int(taken) + sum(int(statistics.get(name, 0)) for name in files.cache)
