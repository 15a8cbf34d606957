"""Memory that a control group leaves to a process, read from files as the kernel writes them."""

import sys
from pathlib import Path

import pytest

from runtime.process import memory
from runtime.process.memory import free_in_cgroups


def _group(folder: Path, limit: str, taken: int, *, inactive: int = 0, active: int = 0) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "memory.max").write_text(f"{limit}\n")
    (folder / "memory.current").write_text(f"{taken}\n")
    (folder / "memory.stat").write_text(f"anon {taken}\ninactive_file {inactive}\nactive_file {active}\n")


def _group_of_version_1(folder: Path, limit: int, taken: int, *, inactive: int = 0, active: int = 0) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "memory.limit_in_bytes").write_text(f"{limit}\n")
    (folder / "memory.usage_in_bytes").write_text(f"{taken}\n")
    own = "inactive_file 0\nactive_file 0\n"  # without the groups inside it
    (folder / "memory.stat").write_text(f"{own}total_inactive_file {inactive}\ntotal_active_file {active}\n")


@pytest.fixture
def cgroups(tmp_path: Path) -> Path:
    return tmp_path / "cgroups"


@pytest.fixture
def proc(tmp_path: Path) -> Path:
    return tmp_path / "cgroup"


def test_a_group_is_bounded_by_its_own_limit_and_those_around_it(proc: Path, cgroups: Path) -> None:
    proc.write_text("12:cpu:/old\n0::/user.slice/run-1.scope\n")
    _group(cgroups / "user.slice" / "run-1.scope", "max", 100)
    assert free_in_cgroups(proc, cgroups) == sys.maxsize

    _group(cgroups / "user.slice" / "run-1.scope", "8000", 100)
    assert free_in_cgroups(proc, cgroups) == 7900

    _group(cgroups / "user.slice", "9000", 4000)
    assert free_in_cgroups(proc, cgroups) == 5000


def test_the_page_cache_counts_as_free(proc: Path, cgroups: Path) -> None:
    """As after a base's 13 GB have been read in a container of 24."""
    proc.write_text("0::/\n")
    _group(cgroups, "24000", 23500, inactive=9000, active=4000)

    assert free_in_cgroups(proc, cgroups) == 24000 - 23500 + 13000


def test_groups_of_version_1_bound_it_too(proc: Path, cgroups: Path) -> None:
    proc.write_text("5:memory:/docker/abc\n3:cpu,cpuacct:/docker/abc\n0::/\n")
    _group_of_version_1(cgroups / "memory", 2**63 - 4096, 50_000)
    assert free_in_cgroups(proc, cgroups) > 2**60

    _group_of_version_1(cgroups / "memory" / "docker" / "abc", 24000, 23500, inactive=9000, active=4000)

    assert free_in_cgroups(proc, cgroups) == 24000 - 23500 + 13000


def test_a_container_whose_own_group_is_the_root_is_bounded_by_it(proc: Path, cgroups: Path) -> None:
    _group(cgroups, "8000", 100)
    for own in ("/", "/docker/not-shown-in-here", "/../outside"):
        proc.write_text(f"0::{own}\n")
        assert free_in_cgroups(proc, cgroups) == 7900


def test_without_control_groups_there_is_no_bound(proc: Path, cgroups: Path) -> None:
    assert free_in_cgroups(proc, cgroups) == sys.maxsize
    proc.write_text("1:name=systemd:/\n")
    assert free_in_cgroups(proc, cgroups) == sys.maxsize


def test_what_is_free_is_within_the_machine_and_the_groups(monkeypatch: pytest.MonkeyPatch) -> None:
    assert 0 < memory.free() < sys.maxsize

    monkeypatch.setattr(memory, "free_in_cgroups", lambda: 5000)

    assert memory.free() == 5000
