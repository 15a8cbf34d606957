"""A page that stays open: its server is killed and comes back, and nothing is missing and nothing comes twice."""

import json
from collections.abc import Callable
from contextlib import ExitStack
from datetime import UTC, datetime
from pathlib import Path

from playwright.sync_api import Page

from state import locks
from tests.dashboard.conftest import Visit
from tests.dashboard.furnished import job, points
from tests.server import Server


def test_a_page_outlives_its_server(
    start_server: Callable[..., Server], visit: Callable[..., Visit], tmp_path: Path
) -> None:
    folder = job(tmp_path, "long", "running", now=datetime.now(UTC), step=100)
    with ExitStack() as held:
        held.enter_context(locks.hold(folder.trainer_lock, timeout_s=5))
        server = start_server()
        page = visit(server, "#/jobs/long").page
        _wait_for_points(page, 20)

        server.kill()
        page.get_by_text("Reconnecting… last news").wait_for()
        with folder.metrics_file.open("a") as file:
            file.writelines(json.dumps(point) + "\n" for point in points(200) if point["step"] > 100)
        start_server(port=server.port)
        _wait_for_points(page, 40)

        page.get_by_text("Reconnecting… last news").wait_for(state="detached")
        assert _steps(page) == [float(step) for step in range(5, 201, 5)]


def _wait_for_points(page: Page, count: int) -> None:
    page.wait_for_function("count => document.querySelector('.cursor')?.max === String(count - 1)", arg=count)


def _steps(page: Page) -> list[float]:
    page.get_by_role("button", name="Table").first.click()
    cells: list[str] = page.locator(".scroll td:first-child").all_inner_texts()
    return sorted({float(cell) for cell in cells})
