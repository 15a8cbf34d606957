"""A real browser for the dashboard's tests: the system's Chromium, driven by Playwright. Without one they skip."""

import os
import shutil
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import Browser, Page, expect, sync_playwright

from tests.dashboard.furnished import furnished
from tests.server import CHECKOUT, PATIENCE_S, Server

NAMES = ("chromium", "chromium-browser", "google-chrome", "chrome")
PATIENCE_MS = PATIENCE_S * 1000
expect.set_options(timeout=PATIENCE_MS)


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    """Of one file's tests: while it is open no other test on this thread can run an event loop, as Playwright does."""
    program = next(filter(None, map(shutil.which, NAMES)), None)
    if program is None:
        pytest.skip(f"needs a browser: none of {', '.join(NAMES)} is installed")
    with sync_playwright() as playwright:
        sandbox = hasattr(os, "geteuid") and os.geteuid() != 0
        launched = playwright.chromium.launch(executable_path=program, chromium_sandbox=sandbox, timeout=PATIENCE_MS)
        yield launched
        launched.close()


class Visit:
    """A page of a browser of its own, and what went wrong on it."""

    def __init__(self, page: Page, address: str) -> None:
        self.page = page
        self.problems: list[str] = []
        page.set_default_timeout(PATIENCE_MS)
        page.on("console", lambda said: self._note(said.text) if said.type in {"error", "warning"} else None)
        page.on("pageerror", lambda error: self._note(str(error)))
        page.on("request", lambda asked: None if asked.url.startswith((address, "blob:")) else self._note(asked.url))

    def _note(self, problem: str) -> None:
        self.problems.append(problem)


@pytest.fixture
def visit(browser: Browser) -> Iterator[Callable[..., Visit]]:
    """Open an address of a server: `visit(server, "#/jobs", viewport=…)`. A clock of its own can be put forward."""
    with ExitStack() as opened:

        def open_page(
            server: Server, path: str = "", *, own_clock: bool = False, script: str = "", **options: Any
        ) -> Visit:
            """`script` runs before the page's own."""
            context = browser.new_context(**options)
            opened.callback(context.close)
            if own_clock:
                context.clock.install()
            if script:
                context.add_init_script(script)
            address = f"http://localhost:{server.port}/"
            visited = Visit(context.new_page(), address)
            visited.page.goto(address + path)
            return visited

        yield open_page


@pytest.fixture(scope="session")
def lived_in(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """A server on a furnished root."""
    root = tmp_path_factory.mktemp("lived-in")
    shutil.copytree(CHECKOUT / "models" / "tiny-python", root / "models" / "tiny-python")
    with furnished(root):
        server = Server(root, "--slots", "0")
        yield server
        server.close()


@pytest.fixture(scope="session")
def axe() -> str:
    return Path(__file__).with_name("axe.min.js").read_text()
