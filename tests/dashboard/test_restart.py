"""A page that stays open: whatever happens to its server or its tab, nothing is missing and nothing comes twice."""

import json
import signal
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path

import pytest
from playwright.sync_api import Page

from benchmarks.server import reserved_port
from state import locks
from state.jobs import JobFolder
from tests.dashboard.conftest import Visit
from tests.dashboard.furnished import job, points
from tests.server import Server

SILENCE_MS = 26_000  # more than a page takes for a connection that lives
WAIT_MS = 16_000  # more than a page waits before it tries again


@pytest.fixture
def port() -> Iterator[int]:
    """One that nobody else is given while no server listens there."""
    with reserved_port() as port:
        yield port


@pytest.fixture
def long(tmp_path: Path) -> Iterator[JobFolder]:
    """A running job of 20 points; its trainer is this process."""
    folder = job(tmp_path, "long", "running", now=datetime.now(UTC), step=100)
    with locks.hold(folder.trainer_lock, timeout_s=5):
        yield folder


def test_a_page_outlives_its_server_and_its_own_sleep(
    start_server: Callable[..., Server], visit: Callable[..., Visit], long: JobFolder, port: int
) -> None:
    server = start_server(port=port)
    page = visit(server, "#/jobs/long", own_clock=True).page
    _wait_for_points(page, 20)

    # killed, and started again
    server.kill()
    page.clock.run_for(SILENCE_MS)
    page.get_by_text("Reconnecting… last news").wait_for()
    _grow(long, 100, 200)
    server = start_server(port=port)
    page.clock.run_for(WAIT_MS)
    _wait_for_points(page, 40)
    page.get_by_text("Reconnecting… last news").wait_for(state="detached")

    # a connection that only looks open, as after a laptop's sleep
    with _stopped(server):
        page.clock.run_for(SILENCE_MS)
        page.get_by_text("Reconnecting… last news").wait_for()
        _grow(long, 200, 300)
    page.clock.run_for(WAIT_MS)
    _wait_for_points(page, 60)

    # a tab that nobody sees has no stream
    _hide(page, hidden=True)
    page.locator(".lamp.is-asleep").wait_for()
    _grow(long, 300, 400)
    _hide(page, hidden=False)
    _wait_for_points(page, 80)

    page.get_by_role("button", name="Table").click()
    page.locator(".scroll td:first-child").nth(79).wait_for()
    cells: list[str] = page.locator(".scroll td:first-child").all_inner_texts()
    assert [float(cell) for cell in cells] == [float(step) for step in range(5, 401, 5)]


@contextmanager
def _stopped(server: Server) -> Iterator[None]:
    server.process.send_signal(signal.SIGSTOP)
    try:
        yield
    finally:
        server.process.send_signal(signal.SIGCONT)


def _grow(folder: JobFolder, after: int, until: int) -> None:
    with folder.metrics_file.open("a") as file:
        file.writelines(json.dumps(point) + "\n" for point in points(until) if point["step"] > after)


def _wait_for_points(page: Page, count: int) -> None:
    page.wait_for_function("count => document.querySelector('.cursor')?.max === String(count - 1)", arg=count)


def _hide(page: Page, *, hidden: bool) -> None:
    """Headless pages are never hidden by themselves."""
    page.evaluate(
        """hidden => {
             Object.defineProperty(document, 'hidden', { value: hidden, configurable: true });
             document.dispatchEvent(new Event('visibilitychange'));
           }""",
        hidden,
    )
